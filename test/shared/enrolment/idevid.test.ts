import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { issueIdevid, makeIdevidCa } from '#agent/factory/factory-certificates.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { judgeIdevid, noEnd } from '#shared/enrolment/idevid.ts'
import { hostNames, keyPurposes, keyUsage } from '#shared/pki/certificate-writer.ts'
import { oid, sequence, setOf, utf8String } from '#shared/pki/der-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { factoryPurposes, names, purposes, rolePurposes } from '#shared/pki/oids.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { wallTime } from '#shared/time/instant.ts'
import { BuiltFactory } from '#test/shared/enrolment/built-board.ts'
import { leafExtensions, makeLeaf, now, type Wish } from '#test/shared/pki/built-chain.ts'

const factory = new BuiltFactory()
const roots = [factory.root.certificate]
const ca = { ...factory.ca, spki: factory.ca.certificate.spki }

const serials = (...values: string[]): Uint8Array =>
  sequence(...values.map((value) => setOf(sequence(oid(names.serialNumber), utf8String(value)))))

/** An IDevID of the factory’s CA that is wrong in one respect. */
function wrong({ marks, ...wish }: Wish & { marks?: Uint8Array[] }): Uint8Array[] {
  const usual = [keyUsage(KeyUsage.digitalSignature), keyPurposes(purposes.clientAuth, factoryPurposes.idevid)]
  const pair = suite.ecdsaP256.generate()
  const identifiers = leafExtensions(p256Spki(pair.publicKey), ca.spki).slice(-2)
  const { certificate } = makeLeaf(ca, {
    pair,
    subject: serials('sn1'),
    extensions: [...(marks ?? usual), ...identifiers],
    ...wish,
  })
  return [certificate.der, ca.certificate.der]
}

test('an IDevID says its serial number and its maker, today and in the year 9999', () => {
  const { chain } = factory.board('sn_1')
  for (const time of [now, wallTime(Date.UTC(2038, 0, 20)), wallTime(Date.UTC(2051, 0, 1)), noEnd]) {
    const { serial, factory: maker } = judgeIdevid(chain, roots, time)
    assert.equal(serial, 'sn_1')
    assert.equal(maker, factory.root.certificate)
  }
  assert.throws(() => judgeIdevid(chain, [new BuiltFactory().root.certificate], now), { code: 'issuer-unknown' })
  assert.throws(() => judgeIdevid(chain, [], now), { code: 'issuer-unknown' })
  assert.throws(() => judgeIdevid(chain.slice(0, 1), roots, now), { code: 'issuer-unknown' }, 'without its CA')
  assert.throws(() => judgeIdevid(chain, roots, wallTime(0)), { code: 'not-yet-valid' })
})

test('A-33 A-36 what is wrong in one respect is no IDevID', () => {
  assert.equal(judgeIdevid(wrong({}), roots, now).serial, 'sn1', 'the pattern itself is right')
  const sign = keyUsage(KeyUsage.digitalSignature)
  const cases: [string, Uint8Array[], string][] = [
    ['no purpose', wrong({ marks: [sign] }), 'purpose'],
    ['a client, and no IDevID', wrong({ marks: [sign, keyPurposes(purposes.clientAuth)] }), 'purpose'],
    ['a device of a fleet too', wrong({ marks: [sign, keyPurposes(factoryPurposes.idevid, rolePurposes.device)] }), 'purpose'],
    [
      'a signer of vouchers too',
      wrong({ marks: [sign, keyPurposes(factoryPurposes.idevid, factoryPurposes.voucher)] }),
      'purpose',
    ],
    ['any purpose', wrong({ marks: [sign, keyPurposes(factoryPurposes.idevid, purposes.any)] }), 'purpose'],
    ['no key usage', wrong({ marks: [keyPurposes(factoryPurposes.idevid)] }), 'key-usage'],
    ['a name beside the number', wrong({ more: [hostNames(['broker.example'])] }), 'identity-malformed'],
    ['two numbers', wrong({ subject: serials('sn1', 'sn2') }), 'identity-malformed'],
    ['a common name', wrong({ subject: commonName('sn1') }), 'identity-malformed'],
    ['a number in capitals', wrong({ subject: serials('SN1') }), 'identity-malformed'],
    ['a number that is a path', wrong({ subject: serials('../sn1') }), 'identity-malformed'],
    ['another signature', wrong({ signer: suite.ecdsaP256.generate() }), 'signature-invalid'],
    ['expired', wrong({ notAfter: now - 1 }), 'expired'],
  ]
  for (const [what, chain, code] of cases) assert.throws(() => judgeIdevid(chain, roots, now), { code }, what)
})

test('A-36 a leaf never signs: neither an IDevID nor the voucher signer makes boards', () => {
  const spki = p256Spki(suite.ecdsaP256.generate().publicKey)
  const board = factory.board('sn1')
  const byBoard = issueIdevid({ certificate: board.leaf, pair: board.pair }, { serial: 'sn2', spki }, now, suite)
  assert.throws(() => judgeIdevid([byBoard.der, ...board.chain], roots, now), { code: 'issuer-not-ca' })
  const bySigner = issueIdevid(factory.signer, { serial: 'sn2', spki }, now, suite)
  assert.throws(() => judgeIdevid([bySigner.der, factory.signer.certificate.der], roots, now), { code: 'issuer-not-ca' })
  const below = makeIdevidCa('thief', factory.ca, now, suite)
  const deeper = issueIdevid(below, { serial: 'sn2', spki }, now, suite)
  assert.throws(() => judgeIdevid([deeper.der, below.certificate.der, factory.ca.certificate.der], roots, now))
  const byRoot = issueIdevid(factory.root, { serial: 'sn2', spki }, now, suite)
  assert.equal(judgeIdevid([byRoot.der], roots, now).serial, 'sn2', 'the root may')
})

test('openssl verifies the chain, strictly, and reads a certificate without an end', (t) => {
  const path = mkdtempSync(join(tmpdir(), 'adit-idevid-'))
  t.after(() => rmSync(path, { recursive: true }))
  const pem = (name: string, der: Uint8Array): string => {
    writeFileSync(join(path, name), encodePem('CERTIFICATE', der))
    return join(path, name)
  }
  const { leaf } = factory.board('sn1')
  const [root, issuer] = [pem('root.pem', factory.root.certificate.der), pem('ca.pem', factory.ca.certificate.der)]
  for (const [name, at] of [
    ['leaf.pem', now],
    ['late.pem', noEnd - 1000],
  ] as const) {
    const words = ['verify', '-x509_strict', '-attime', String(Math.floor(at / 1000)), '-CAfile', root, '-untrusted', issuer]
    assert.match(execFileSync('openssl', [...words, pem(name, leaf.der)]).toString(), /: OK/)
  }
  const text = execFileSync('openssl', [
    'x509',
    '-in',
    pem('leaf.pem', leaf.der),
    '-noout',
    '-subject',
    '-enddate',
    '-nameopt',
    'RFC2253',
  ])
  assert.match(text.toString(), /subject=serialNumber=sn1\nnotAfter=Dec 31 23:59:59 9999 GMT/)
  assert.ok(Buffer.from(leaf.der).includes('99991231235959Z'), 'as GeneralizedTime')
})
