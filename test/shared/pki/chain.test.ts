import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  caConstraints,
  hostNames,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  subjectKeyId,
} from '#shared/pki/certificate-writer.ts'
import { type ChainOptions, verifyChain } from '#shared/pki/chain.ts'
import { Tag } from '#shared/pki/der.ts'
import { boolean, element, octetString, oid, sequence } from '#shared/pki/der-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { aditArc, extensions as known, purposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { wallTime } from '#shared/time/instant.ts'
import {
  begin,
  caExtensions,
  end,
  leafExtensions,
  type Made,
  makeCa,
  makeLeaf,
  makeRoot,
  now,
} from '#test/shared/pki/built-chain.ts'

/** `accepted`, or the code of the refusal. */
function verdict(leaf: Made, between: readonly Made[], roots: readonly Made[], options: Partial<ChainOptions> = {}): string {
  try {
    verifyChain(
      leaf.certificate,
      between.map(({ certificate }) => certificate),
      {
        anchors: roots.map(({ certificate }) => certificate),
        now,
        purposes: [purposes.serverAuth],
        ...options,
      },
    )
    return 'accepted'
  } catch (error) {
    assert.ok(error instanceof PkiError, String(error))
    return error.code
  }
}

const root = makeRoot()
const ca = makeCa(root)
const leaf = makeLeaf(ca)
const extension = (name: string, critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(oid(name), ...(critical ? [boolean(true)] : []), octetString(value))

test('a right path is accepted, with names of every kind', () => {
  assert.equal(verdict(leaf, [ca], [root]), 'accepted')
  for (const value of ['broker.example.com', 'BROKER.example.com', 'broker.example.com.']) {
    assert.equal(verdict(leaf, [ca], [root], { expectedName: { kind: 'dns', value } }), 'accepted', value)
  }
  assert.equal(verdict(leaf, [ca], [root], { expectedName: { kind: 'ip', value: '192.0.2.1' } }), 'accepted')
  for (const value of ['example.com', 'x.broker.example.com', '', '192.0.2.1', 'broker.example.com\0.evil.com']) {
    assert.equal(verdict(leaf, [ca], [root], { expectedName: { kind: 'dns', value } }), 'name-mismatch', value)
  }
})

test('A-33 each fault of a path has its own inward reason', () => {
  const late = { now: wallTime(end + 1) }
  const early = { now: wallTime(begin - 1) }
  assert.equal(verdict(leaf, [ca], [root], late), 'expired')
  assert.equal(verdict(leaf, [ca], [root], early), 'not-yet-valid')
  assert.equal(verdict(leaf, [ca], [root], { now: wallTime(end) }), 'accepted', 'the last moment is inside')
  const longLeaf = makeLeaf(ca, { notAfter: end + 1e9 })
  assert.equal(verdict(longLeaf, [ca], [root], late), 'expired', 'an expired CA')
  assert.equal(verdict(leaf, [ca], [root], { isRevoked: (c) => c === leaf.certificate }), 'revoked')
  assert.equal(verdict(leaf, [ca], [root], { isRevoked: (c) => c === ca.certificate }), 'revoked')
  assert.equal(verdict(leaf, [ca], [makeRoot({ subject: commonName('another') })]), 'issuer-unknown')
  assert.equal(verdict(leaf, [], [root]), 'issuer-unknown')
  assert.equal(verdict(leaf, [ca], [makeRoot()]), 'signature-invalid', 'another root of the same name')
  assert.equal(verdict(makeLeaf(ca, { signer: root.pair }), [ca], [root]), 'signature-invalid')
  const selfSigned = makeLeaf(ca, { subject: ca.certificate.subject, signer: suite.ecdsaP256.generate() })
  assert.equal(verdict(selfSigned, [], [root]), 'issuer-unknown')
  const client = makeLeaf(ca, { extensions: leafExtensions(ca.spki, ca.spki).with(1, keyPurposes(purposes.clientAuth)) })
  assert.equal(verdict(client, [ca], [root]), 'purpose')
  const any = makeLeaf(ca, { extensions: leafExtensions(ca.spki, ca.spki).with(1, keyPurposes(purposes.any)) })
  assert.equal(verdict(any, [ca], [root]), 'purpose', 'any purpose is no purpose')
  const unknown = makeLeaf(ca, { more: [extension(`${aditArc}.99`, true, Uint8Array.of(5, 0))] })
  assert.equal(verdict(unknown, [ca], [root]), 'extension-critical-unknown')
  const ignored = makeLeaf(ca, { more: [extension(`${aditArc}.99`, false, Uint8Array.of(5, 0))] })
  assert.equal(verdict(ignored, [ca], [root]), 'accepted', 'unknown and not critical')
  const noUsage = makeCa(root, { extensions: caExtensions(0)(ca.spki, root.spki).toSpliced(1, 1) })
  assert.equal(verdict(makeLeaf(noUsage), [noUsage], [root]), 'extension-missing')
  const signsNot = makeCa(root, { extensions: caExtensions(0)(ca.spki, root.spki).with(1, keyUsage(KeyUsage.digitalSignature)) })
  assert.equal(verdict(makeLeaf(signsNot), [signsNot], [root]), 'issuer-key-usage')
  const unreadable = () => makeLeaf(ca, { spki: p192() })
  assert.throws(unreadable, (error) => error instanceof PkiError && error.code === 'key-unsupported')
  assert.equal(verdict(makeLeaf(ca, { serial: Uint8Array.of(0) }), [ca], [root]), 'serial-invalid')
  assert.equal(verdict(makeLeaf(ca, { serial: new Uint8Array(21).fill(1) }), [ca], [root]), 'serial-invalid')
  const listed = makeLeaf(ca, { more: [extension(known.policyConstraints, true, sequence(element(0x80, Uint8Array.of(0))))] })
  assert.equal(verdict(listed, [ca], [root]), 'policy-unsupported')
})

const p192 = (): Uint8Array =>
  sequence(
    sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.1')),
    element(Tag.BitString, Uint8Array.of(0, 4), new Uint8Array(48)),
  )

test('A-33 path length: a CA may not stand where one above forbids it; self-issued ones do not count', () => {
  const wide = makeCa(root, {}, 1)
  const below = makeCa(wide, {}, 0)
  assert.equal(verdict(makeLeaf(below), [wide, below], [root]), 'accepted')
  const tooLow = makeCa(below, {}, 0)
  assert.equal(verdict(makeLeaf(tooLow), [wide, below, tooLow], [root]), 'path-length')
  const rekeyed = makeCa(below, { subject: below.certificate.subject }, 0)
  assert.equal(verdict(makeLeaf(rekeyed), [rekeyed, below, wide], [root]), 'accepted', 'the same CA under a new key')
  assert.equal(verdict(makeLeaf(below), [wide, below], [root], { maxDepth: 1 }), 'path-too-deep')
})

test('A-36 a leaf never signs: not as an issuer, not with basic constraints of its own making', () => {
  const leafAsIssuer = makeLeaf(leaf, {})
  assert.equal(verdict(leafAsIssuer, [leaf, ca], [root]), 'issuer-not-ca')
  const signing = makeLeaf(ca, { extensions: leafExtensions(ca.spki, ca.spki).with(0, keyUsage(KeyUsage.keyCertSign)) })
  assert.equal(verdict(signing, [ca], [root]), 'key-usage')
  assert.equal(verdict(ca, [], [root], { purposes: [] }), 'peer-is-ca')
  const weak = makeCa(root, { extensions: caExtensions(0)(ca.spki, root.spki).toSpliced(0, 1) })
  assert.equal(verdict(makeLeaf(weak), [weak], [root]), 'issuer-not-ca')
})

test('A-36 an issuing CA lends only its own purposes', () => {
  const clientsOnly = makeCa(root, { more: [keyPurposes(purposes.clientAuth)] })
  assert.equal(verdict(makeLeaf(clientsOnly), [clientsOnly], [root]), 'purpose')
})

const constraint = (tag: number, value: Uint8Array): Uint8Array => sequence(element(tag, value))
const text = (value: string): Uint8Array => Buffer.from(value, 'latin1')
const constrained = (permitted: Uint8Array[], excluded: Uint8Array[], critical = true): Made =>
  makeCa(root, {
    more: [
      extension(
        known.nameConstraints,
        critical,
        sequence(
          ...(permitted.length > 0 ? [element(0xa0, ...permitted)] : []),
          ...(excluded.length > 0 ? [element(0xa1, ...excluded)] : []),
        ),
      ),
    ],
  })

test('A-34 name constraints of DNS, IP and directory names bind; forms that are not implemented refuse the path', () => {
  const cases: [string, Made, string][] = [
    ['permitted domain', constrained([constraint(0x82, text('example.com'))], []), 'accepted'],
    ['another domain', constrained([constraint(0x82, text('example.org'))], []), 'name-constraint-violated'],
    ['no label boundary', constrained([constraint(0x82, text('ker.example.com'))], []), 'name-constraint-violated'],
    ['excluded domain', constrained([], [constraint(0x82, text('EXAMPLE.com'))]), 'name-constraint-violated'],
    [
      'excluded wins',
      constrained([constraint(0x82, text('com'))], [constraint(0x82, text('broker.example.com'))]),
      'name-constraint-violated',
    ],
    [
      'excluded network',
      constrained([], [constraint(0x87, Uint8Array.of(192, 0, 2, 0, 255, 255, 255, 0))]),
      'name-constraint-violated',
    ],
    ['permitted network', constrained([constraint(0x87, Uint8Array.of(192, 0, 2, 0, 255, 255, 255, 0))], []), 'accepted'],
    ['broken mask', constrained([constraint(0x87, Uint8Array.of(192, 0, 2, 0, 255, 0, 255, 0))], []), 'extension-malformed'],
    ['permitted directory', constrained([constraint(0xa4, commonName('BROKER.example.com '))], []), 'accepted'],
    ['excluded directory', constrained([], [constraint(0xa4, commonName('broker.example.com'))]), 'name-constraint-violated'],
    ['all directories excluded', constrained([], [constraint(0xa4, sequence())]), 'name-constraint-violated'],
    ['leading period', constrained([constraint(0x82, text('.example.com'))], []), 'extension-malformed'],
    ['registered ID', constrained([], [constraint(0x88, Uint8Array.of(42))]), 'name-constraint-unsupported'],
    ['other name', constrained([], [constraint(0xa0, sequence())]), 'name-constraint-unsupported'],
    ['not critical', constrained([constraint(0x82, text('example.com'))], [], false), 'extension-criticality'],
  ]
  for (const [what, issuer, expected] of cases) assert.equal(verdict(makeLeaf(issuer), [issuer], [root]), expected, what)
})

test('A-35 names with NUL, control or foreign characters, two common names, and wildcards out of place', () => {
  const names =
    (...parts: Uint8Array[]) =>
    (): Made =>
      makeLeaf(ca, {
        extensions: leafExtensions(ca.spki, ca.spki).with(2, extension(known.subjectAltName, false, sequence(...parts))),
      })
  const dns = (value: string): Uint8Array => element(0x82, Buffer.from(value, 'utf8'))
  for (const bad of ['good.com\0.evil.com', 'a\nb.com', 'bücher.example']) {
    assert.throws(names(dns(bad)), (error) => error instanceof PkiError && error.code === 'name-malformed', JSON.stringify(bad))
  }
  const subject = { subject: sequence() }
  for (const bad of ['*', '*.com', 'a*.example.com', 'a.*.example.com', '.example.com', 'a b', '-a.com']) {
    const made = names(dns('broker.example.com'), dns(bad))()
    assert.equal(verdict(made, [ca], [root]), 'name-malformed', bad)
  }
  assert.equal(verdict(names(element(0x87, new Uint8Array(8)))(), [ca], [root]), 'name-malformed')
  assert.equal(verdict(makeLeaf(ca, subject), [ca], [root]), 'extension-criticality', 'no subject needs a critical name')
  const control = () => makeLeaf(ca, { subject: commonName('a\u001b[31m') })
  assert.throws(control, (error) => error instanceof PkiError && error.code === 'name-malformed')
  assert.equal(verdict(makeLeaf(ca, { subject: commonName('evil.com') }), [ca], [root]), 'name-mismatch')
})

test('a budget of signatures ends the search among cross-signed certificates', () => {
  const name = commonName('one name')
  const heap = [makeRoot({ subject: name, extensions: plainCa(0) })]
  for (let i = 0; i < 40; i++) heap.push(makeCa(heap[0]!, { subject: name, extensions: plainCa(i + 1) }))
  const victim = makeLeaf(heap[0]!, {
    extensions: leafExtensions(ca.spki, heap[0]!.spki).toSpliced(4, 1, authorityKeyId(Uint8Array.of(1))),
  })
  const began = performance.now()
  assert.notEqual(verdict(victim, heap, [root]), 'accepted')
  assert.ok(performance.now() - began < 2_000)
})

const plainCa = (i: number): Uint8Array[] => [
  caConstraints(9),
  keyUsage(KeyUsage.keyCertSign),
  subjectKeyId(Uint8Array.of(1)),
  authorityKeyId(Uint8Array.of(1)),
  hostNames([`x${i}.example.com`]),
]

test('one flipped bit anywhere in a certificate is never accepted', () => {
  const { der } = leaf.certificate
  for (let i = 0; i < der.length * 8; i += 7) {
    const bent = Uint8Array.from(der)
    bent[i >> 3]! ^= 1 << (i & 7)
    let outcome: string
    try {
      outcome = verdict({ ...leaf, certificate: parseCertificate(bent) }, [ca], [root])
    } catch (error) {
      assert.ok(error instanceof PkiError, `bit ${i}: ${String(error)}`)
      continue
    }
    assert.notEqual(outcome, 'accepted', `bit ${i}`)
  }
})

test('key identifiers must agree between a certificate and its issuer', () => {
  const stranger = makeLeaf(ca, {
    extensions: leafExtensions(ca.spki, ca.spki).with(4, authorityKeyId(keyIdentifier(root.spki, suite))),
  })
  assert.equal(verdict(stranger, [ca], [root]), 'key-identifier-mismatch')
  const without = makeLeaf(ca, { extensions: leafExtensions(ca.spki, ca.spki).toSpliced(4, 1) })
  assert.equal(verdict(without, [ca], [root]), 'extension-missing')
})
