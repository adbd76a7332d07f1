import 'reflect-metadata'
import assert from 'node:assert/strict'
import { webcrypto } from 'node:crypto'
import test from 'node:test'
import * as x509 from '@peculiar/x509'
import { fromBER } from 'asn1js'
import { ContentInfo, SignedData } from 'pkijs'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodeCertsOnly, encodeCertsOnly } from '#shared/pki/certs-only.ts'
import { createRequest, verifyRequest } from '#shared/pki/request.ts'
import { makeCa, makeLeaf, makeRoot } from '#test/shared/pki/built-chain.ts'

/** What we write, judged by two libraries that are not ours, and the reverse. */
x509.cryptoProvider.set(webcrypto)

const root = makeRoot()
const ca = makeCa(root)
const leaf = makeLeaf(ca)
const enrolment = suite.x25519.generate()

test('@peculiar/x509 verifies our certificates', async () => {
  const certificate = new x509.X509Certificate(leaf.certificate.der)
  const issuer = new x509.X509Certificate(ca.certificate.der)
  assert.equal(await certificate.verify({ publicKey: issuer.publicKey, signatureOnly: true }), true)
  assert.equal(certificate.serialNumber, leaf.certificate.serialHex)
  assert.equal(certificate.subject, 'CN=broker.example.com')
})

test('@peculiar/x509 verifies our request, and we its own', async () => {
  const identity = suite.ecdsaP256.generate()
  const tunnel = { pair: suite.x25519.generate(), enrolmentKey: enrolment.publicKey }
  const ours = new x509.Pkcs10CertificateRequest(createRequest({ name: 'pi', identity, tunnel }, suite))
  assert.equal(await ours.verify(), true)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const theirs = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=evil, O=other',
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 9, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'evil' }]),
    ],
    attributes: [new x509.ChallengePasswordAttribute('challenge')],
  })
  const verified = verifyRequest(new Uint8Array(theirs.rawData), enrolment, suite)
  assert.deepEqual(Buffer.from(verified.spki), Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey)))
  assert.deepEqual(Object.keys(verified), ['spki', 'challenge'], 'nothing that it asked for; the challenge is to be compared')
})

test('pkijs reads our certs-only CMS, and we what pkijs writes', () => {
  const ders = [leaf, ca, root].map(({ certificate }) => certificate.der)
  const parsed = fromBER(Uint8Array.from(encodeCertsOnly(ders)).buffer)
  assert.notEqual(parsed.offset, -1)
  const signed = new SignedData({ schema: new ContentInfo({ schema: parsed.result }).content })
  assert.equal(signed.certificates?.length, 3)
  const written = new ContentInfo({ contentType: ContentInfo.SIGNED_DATA, content: signed.toSchema(true) })
    .toSchema()
    .toBER(false)
  const found = decodeCertsOnly(new Uint8Array(written)).map((der) => Buffer.from(der).toString('hex'))
  assert.deepEqual(found.sort(), ders.map((der) => Buffer.from(der).toString('hex')).sort())
})
