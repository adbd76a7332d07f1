import assert from 'node:assert/strict'
import test from 'node:test'
import { issueDelegate, makeIssuingCa, makeRoot } from '#broker/identity/issuing-ca.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { decodeScope } from '#shared/enrolment/delegation.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  caConstraints,
  hostNames,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  subjectKeyId,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { verifyChain } from '#shared/pki/chain.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { purposes, rolePurposes } from '#shared/pki/oids.ts'
import { writePeerLeaf } from '#shared/pki/peer-leaf.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { days, wallTime } from '#shared/time/instant.ts'

const now = wallTime(Date.UTC(2030, 0, 1))
const root = makeRoot(now, suite)
const device = makeIssuingCa('device', root, now, suite)
const pair = suite.ecdsaP256.generate()
const scope = { station: 'line-1', names: 'pump-{n}', first: 1, last: 9, quota: 9, tags: ['pumps'] }
const window = { notBefore: now, notAfter: now + days(30) }
const certificate = parseCertificate(issueDelegate(device, { ...scope, ...window }, p256Spki(pair.publicKey), suite))
const own = { certificate, pair }
const key = suite.ecdsaP256.generate()
const life = { notBefore: now, notAfter: wallTime(now + days(3)) }

function verify(leaf: Uint8Array, purpose: string, at = now, between: readonly Certificate[] = []): void {
  verifyChain(parseCertificate(leaf), [...between, certificate, device.certificate], {
    anchors: [root.certificate],
    now: at,
    purposes: [purposes.clientAuth, purpose],
    keyUsage: KeyUsage.digitalSignature,
    maxDepth: 3,
  })
}

/** By the station's key, whatever it says. */
const forge = (signer: { certificate: Certificate; pair: KeyPair }, holder: KeyPair, ...extensions: Uint8Array[]): Uint8Array =>
  writeCertificate(
    {
      serial: Uint8Array.of(0x41),
      issuer: signer.certificate.subject,
      subject: commonName('pump-1'),
      ...life,
      spki: p256Spki(holder.publicKey),
      extensions: [
        ...extensions,
        subjectKeyId(keyIdentifier(p256Spki(holder.publicKey), suite)),
        authorityKeyId(keyIdentifier(signer.certificate.spki, suite)),
      ],
    },
    signer.pair,
    suite,
  )

test('a station CA says its scope, and a device by it is good while its window is open', () => {
  assert.deepEqual(decodeScope(certificate.extensions.delegation!), scope)
  const leaf = writePeerLeaf(own, { role: 'device', name: 'pump-1', spki: p256Spki(key.publicKey), ...life }, suite)
  verify(leaf, rolePurposes.device)
  assert.throws(() => verify(leaf, rolePurposes.device, wallTime(now + days(31))))
})

test('P-16 A-36 by a station CA there is no operator, no station, no server, no host, and no CA', () => {
  const usage = keyUsage(KeyUsage.digitalSignature)
  for (const role of ['operator', 'station'] as const) {
    const leaf = writePeerLeaf(own, { role, name: 'pump-1', spki: p256Spki(key.publicKey), ...life }, suite)
    assert.throws(() => verify(leaf, rolePurposes[role]), { code: 'purpose' }, role)
  }
  const server = forge(own, key, usage, keyPurposes(purposes.serverAuth))
  assert.throws(() =>
    verifyChain(parseCertificate(server), [certificate, device.certificate], {
      anchors: [root.certificate],
      now,
      purposes: [purposes.serverAuth],
    }),
  )
  const purposesOf = keyPurposes(purposes.clientAuth, rolePurposes.device)
  for (const host of ['example.com', '192.0.2.1', '2001:db8::1'])
    assert.throws(
      () => verify(forge(own, key, usage, purposesOf, hostNames([host])), rolePurposes.device),
      { code: 'name-constraint-violated' },
      host,
    )
  const ca = forge(own, key, caConstraints(0), keyUsage(KeyUsage.keyCertSign), purposesOf)
  const below = { certificate: parseCertificate(ca), pair: key }
  const leaf = writePeerLeaf(
    below,
    { role: 'device', name: 'pump-1', spki: p256Spki(suite.ecdsaP256.generate().publicKey), ...life },
    suite,
  )
  assert.throws(() => verify(leaf, rolePurposes.device, now, [below.certificate]), { code: 'path-length' })
})
