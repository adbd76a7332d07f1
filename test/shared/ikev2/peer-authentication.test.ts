import assert from 'node:assert/strict'
import test from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { certificateCredential, makeAuth } from '#shared/ikev2/authentication.ts'
import { caKeyHash, certPayloads, certRequest, chainOf, requestedAuthorities } from '#shared/ikev2/cert-request.ts'
import { idsOfCertificate } from '#shared/ikev2/certificate-id.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { authenticatePeer, type PeerClaim } from '#shared/ikev2/peer-authentication.ts'
import { acceptedHashes } from '#shared/ikev2/signature-scheme.ts'
import { type PrfFunction, sharedKeyMic, signedOctets } from '#shared/ikev2/signed-octets.ts'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import type { IkeId, IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { makeCa, makeLeaf, makeRoot, now } from '#test/shared/pki/built-chain.ts'

const prf: PrfFunction = (key, ...data) => suite.hmac('sha256', key, ...data)
const root = makeRoot()
const ca = makeCa(root)
const pump = makeLeaf(ca)
const other = makeLeaf(ca)
const chain = [pump, ca].map(({ certificate }) => certificate.der)
const name = parseId('broker.example.com')
const secret = new Uint8Array(32).fill(3)
const keyed = parseId('keyid:plc')

/** Judges against our root, and has one pre-shared key. */
const owner = {
  judge: (ders: readonly Uint8Array[]) => {
    const { leaf, intermediates } = parseChain(ders)
    verifyChain(leaf, intermediates, { anchors: [root.certificate], now, purposes: [] })
    return leaf
  },
  preSharedKey: (id: IkeId) => (toHex(id.data) === toHex(keyed.data) ? secret : undefined),
}

const octetsOf = (id: IkeId, skP = 1): Uint8Array =>
  signedOctets({
    prf,
    skP: new Uint8Array(32).fill(skP),
    message: new Uint8Array(200).fill(4),
    nonce: new Uint8Array(32).fill(5),
    id,
  })

function claim(id: IkeId, signer = pump, ders: readonly Uint8Array[] = chain): PeerClaim {
  const octets = octetsOf(id)
  const credential = certificateCredential([signer.certificate.der], { kind: 'p256', pair: signer.pair }, suite)
  return { id, chain: ders, auth: makeAuth(credential, octets, acceptedHashes, prf, suite)!, octets }
}

function verdict(said: PeerClaim): string {
  const result = authenticatePeer(owner, said, prf, suite)
  return 'peer' in result ? result.peer.idText : result.refused.kind
}

test('a peer with a certificate: chain, proof, name, expectation, each on its own', () => {
  const good = authenticatePeer(owner, claim(name), prf, suite)
  assert.ok('peer' in good && good.peer.proof.kind === 'certificate')
  assert.equal(good.peer.proof.spkiSha256, toHex(suite.hash('sha256', pump.spki)))
  assert.equal(good.peer.idText, 'broker.example.com')
  for (const id of idsOfCertificate(pump.certificate)) assert.notEqual(verdict(claim(id)), 'identity')

  assert.equal(verdict(claim(name, pump, [])), 'no-certificate')
  assert.equal(verdict(claim(name, pump, [pump.certificate.der])), 'certificate', 'the intermediate is missing')
  assert.equal(verdict(claim(name, pump, [Uint8Array.of(1)])), 'certificate')
  assert.equal(verdict(claim(name, other)), 'signature', "another's key")
  assert.equal(verdict(claim(name, pump, [other.certificate.der, ca.certificate.der])), 'signature')
  assert.equal(verdict({ ...claim(name), octets: octetsOf(name, 2) }), 'signature')
  assert.equal(
    verdict({ ...claim(name), octets: octetsOf(parseId('192.0.2.1')) }),
    'signature',
    'the name is part of what is signed',
  )
  assert.equal(verdict(claim(parseId('pump.example'))), 'identity')
})

test('A-22 who was expected is who it must be; another name of its certificate will do', () => {
  assert.equal(verdict({ ...claim(name), expectedId: name }), 'broker.example.com')
  assert.equal(verdict({ ...claim(parseId('CN=broker.example.com')), expectedId: name }), 'CN=broker.example.com')
  assert.equal(verdict({ ...claim(name), expectedId: parseId('other.example.com') }), 'unexpected')
})

test('A-24 a pre-shared key: unknown identities and wrong keys are told apart in the log alone', () => {
  const shared = (id: IkeId, key: Uint8Array): PeerClaim => {
    const octets = octetsOf(id)
    return { id, chain: [], auth: { kind: 'auth', method: 2, data: sharedKeyMic(prf, key, octets) }, octets }
  }
  assert.equal(verdict(shared(keyed, secret)), 'keyid:plc')
  assert.equal(verdict(shared(keyed, new Uint8Array(32))), 'shared-key')
  assert.equal(verdict(shared(parseId('keyid:nobody'), secret)), 'unknown-identity')
  assert.equal(verdict(shared(name, secret)), 'unknown-identity', 'whoever has a certificate has to use it')
  assert.equal(verdict({ ...shared(keyed, secret), expectedId: name }), 'unexpected')
  assert.equal(
    verdict({ ...shared(keyed, secret), auth: { kind: 'auth', method: 13, data: Uint8Array.of(1) } }),
    'no-certificate',
    'NULL authentication',
  )
})

test('certificates travel leaf first; other encodings are not looked at and nothing is fetched (A-40)', () => {
  const payloads: IkePayload[] = [
    { kind: 'cert', encoding: 12, data: Buffer.from('http://evil.example/') },
    ...certPayloads(chain),
    { kind: 'cert', encoding: 7, data: Uint8Array.of(1) },
  ]
  assert.deepEqual(
    chainOf(payloads),
    chain.map((der) => Uint8Array.from(der)),
  )
})

test('a request names authorities by the SHA-1 of their keys', () => {
  const hashes = [root, ca].map(({ certificate }) => caKeyHash(certificate, suite))
  const request = certRequest(hashes)!
  assert.equal(request.data.length, 40)
  assert.equal(certRequest([]), undefined)
  assert.deepEqual([...requestedAuthorities([request])!], hashes.map(toHex))
  assert.equal(requestedAuthorities([]), undefined)
  assert.equal(requestedAuthorities([{ ...request, encoding: 12 }]), undefined)
  assert.equal(requestedAuthorities([{ ...request, data: new Uint8Array() }]), undefined, 'an empty one leaves it to us')
})
