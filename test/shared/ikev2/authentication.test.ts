import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import test from 'node:test'
import { concat } from '#shared/bytes/concat.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import { type CertificateCredential, certificateCredential, makeAuth } from '#shared/ikev2/authentication.ts'
import { derFromRaw, rawFromDer } from '#shared/ikev2/ecdsa-form.ts'
import { parseSharedSecret } from '#shared/ikev2/shared-secret.ts'
import { acceptedHashes, decodeHashAlgorithms, encodeHashAlgorithms, rsaAlgorithm } from '#shared/ikev2/signature-scheme.ts'
import { type PrfFunction, resumptionMic, sharedKeyMic, signedOctets } from '#shared/ikev2/signed-octets.ts'
import { verifyResumptionAuth, verifySharedKeyAuth, verifySignedAuth } from '#shared/ikev2/verify-auth.ts'
import { DerReader } from '#shared/pki/der.ts'
import { AuthMethod, HashAlgorithm } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload } from '#shared/wire/ike-payload/payload.ts'
import fc from '#test/lab/properties.ts'
import { makeLeaf, makeRoot } from '#test/shared/pki/built-chain.ts'

const suite = nativeSuite
const prf: PrfFunction = (key, ...data) => suite.hmac('sha256', key, ...data)
const root = makeRoot()

const pairs = {
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ed25519: generateKeyPairSync('ed25519'),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
}
type Kind = keyof typeof pairs
const kinds = Object.keys(pairs) as Kind[]

const pkcs8 = (key: KeyObject): Uint8Array => Uint8Array.from(key.export({ format: 'der', type: 'pkcs8' }))
const spki = (key: KeyObject): Uint8Array => Uint8Array.from(key.export({ format: 'der', type: 'spki' }))

function credential(kind: Kind, padding: 'pss' | 'pkcs1' = 'pss', provider = suite): CertificateCredential {
  const { certificate } = makeLeaf(root, { spki: spki(pairs[kind].publicKey) })
  return certificateCredential([certificate.der], pkcs8(pairs[kind].privateKey), provider, padding)
}
const credentials = Object.fromEntries(kinds.map((kind) => [kind, credential(kind)])) as Record<Kind, CertificateCredential>

const octets = signedOctets({
  prf,
  skP: new Uint8Array(32).fill(7),
  message: new Uint8Array(300).fill(1),
  nonce: new Uint8Array(32).fill(2),
  id: { type: 2, data: Buffer.from('pump.example') },
})

test('the signed octets are message, nonce and prf(SK_p, ID body) (RFC 7296 §2.15)', () => {
  const id = { type: 2, data: Uint8Array.from(Buffer.from('pump.example')) }
  const skP = new Uint8Array(32).fill(7)
  const body = Uint8Array.of(2, 0, 0, 0, ...id.data)
  const expected = Buffer.concat([new Uint8Array(300).fill(1), new Uint8Array(32).fill(2), prf(skP, body)])
  assert.equal(toHex(octets), toHex(expected))
})

/** RFC 7427 appendix A: the AlgorithmIdentifiers as they are printed there; PSS without the default that DER leaves out. */
const printed = {
  pkcs1: '300d06092a864886f70d01010b0500',
  pss: '304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120',
  p256: '300a06082a8648ce3d040302',
  p384: '300a06082a8648ce3d040303',
  ed25519: '300506032b6570',
}

const auth = (kind: Kind, hashes: readonly number[] | undefined, padding: 'pss' | 'pkcs1' = 'pss'): AuthPayload | undefined =>
  makeAuth(padding === 'pss' ? credentials[kind] : credential(kind, padding), octets, hashes, prf, suite)

test('method 14 goes first: its AlgorithmIdentifier is the one of RFC 7427, and OpenSSL verifies what follows', () => {
  const judge: Record<Kind, (signature: Uint8Array) => boolean> = {
    p256: (signature) => verify('sha256', octets, pairs.p256.publicKey, signature),
    p384: (signature) => verify('sha384', octets, pairs.p384.publicKey, signature),
    ed25519: (signature) => verify(null, octets, pairs.ed25519.publicKey, signature),
    rsa: (signature) =>
      verify('sha256', octets, { key: pairs.rsa.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature),
  }
  for (const kind of kinds) {
    const made = auth(kind, acceptedHashes)!
    assert.equal(made.method, AuthMethod.DigitalSignature)
    const length = made.data[0]!
    assert.equal(toHex(made.data.subarray(1, 1 + length)), printed[kind === 'rsa' ? 'pss' : kind])
    assert.ok(judge[kind](made.data.subarray(1 + length)), kind)
  }
  const old = auth('rsa', acceptedHashes, 'pkcs1')!
  assert.equal(toHex(old.data.subarray(1, 16)), printed.pkcs1)
  assert.ok(verify('sha256', octets, pairs.rsa.publicKey, old.data.subarray(16)))
})

test('what one end makes the other believes, of every kind, towards every list of hashes', () => {
  const lists: (readonly number[] | undefined)[] = [undefined, [], [1], [1, 2], [3], [4], [5], [2, 3, 4], acceptedHashes]
  for (const kind of kinds) {
    for (const hashes of lists) {
      for (const padding of ['pss', 'pkcs1'] as const) {
        if (padding === 'pkcs1' && kind !== 'rsa') continue
        const made = auth(kind, hashes, padding)
        if (kind === 'ed25519' && hashes?.includes(HashAlgorithm.Identity) !== true) {
          assert.equal(made, undefined, 'RFC 8420 is not announced')
          continue
        }
        assert.ok(made)
        for (const other of kinds) {
          const refusal = verifySignedAuth(made, octets, credentials[other].certificate.publicKey)
          assert.equal(refusal === undefined, kind === other, `${kind} ${String(hashes)} read as ${other}: ${refusal}`)
        }
      }
    }
  }
})

test('the old methods, for a peer that shares no hash: 9 and 10 with r and s side by side, 1 with SHA-256 and never SHA-1', () => {
  const nine = auth('p256', undefined)!
  assert.deepEqual([nine.method, nine.data.length], [AuthMethod.EcdsaSha256P256, 64])
  assert.ok(verify('sha256', octets, { key: pairs.p256.publicKey, dsaEncoding: 'ieee-p1363' }, nine.data))
  const ten = auth('p384', [HashAlgorithm.Sha1])!
  assert.deepEqual([ten.method, ten.data.length], [AuthMethod.EcdsaSha384P384, 96])
  assert.ok(verify('sha384', octets, { key: pairs.p384.publicKey, dsaEncoding: 'ieee-p1363' }, ten.data))
  const one = auth('rsa', undefined)!
  assert.equal(one.method, AuthMethod.RsaSignature)
  assert.ok(verify('sha256', octets, pairs.rsa.publicKey, one.data))

  const key = credentials.rsa.certificate.publicKey
  for (const hash of ['sha256', 'sha384', 'sha512'])
    assert.equal(
      verifySignedAuth({ kind: 'auth', method: 1, data: sign(hash, octets, pairs.rsa.privateKey) }, octets, key),
      undefined,
      hash,
    )
  const sha1 = { kind: 'auth', method: 1, data: sign('sha1', octets, pairs.rsa.privateKey) } as const
  assert.match(verifySignedAuth(sha1, octets, key) ?? '', /SHA-1/)
})

/** `300d06092a864886f70d0101050500`: sha1WithRSAEncryption. */
const named = (algorithm: string, signature: Uint8Array): AuthPayload => ({
  kind: 'auth',
  method: 14,
  data: concat(Uint8Array.of(algorithm.length / 2), fromHex(algorithm), signature),
})

test('A-23 signatures with SHA-1 or of another algorithm than they say are not believed', () => {
  const rsa = credentials.rsa.certificate.publicKey
  const p256 = credentials.p256.certificate.publicKey
  const refused = [
    named('300d06092a864886f70d0101050500', sign('sha1', octets, pairs.rsa.privateKey)),
    named('3000', sign('sha256', octets, pairs.rsa.privateKey)),
    named(toHex(rsaAlgorithm('pkcs1', 'sha384')), sign('sha256', octets, pairs.rsa.privateKey)),
    named(printed.pss, sign('sha256', octets, pairs.rsa.privateKey)),
    named(
      printed.pkcs1,
      sign('sha256', octets, { key: pairs.rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
    ),
    named(
      printed.pss,
      sign('sha256', octets, { key: pairs.rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 20 }),
    ),
  ]
  for (const one of refused) assert.match(verifySignedAuth(one, octets, rsa) ?? '', /\w/)
  assert.match(
    verifySignedAuth(named('300906072a8648ce3d0401', sign('sha1', octets, pairs.p256.privateKey)), octets, p256) ?? '',
    /not accepted/,
  )
  assert.match(
    verifySignedAuth(named(printed.pkcs1, sign('sha256', octets, pairs.rsa.privateKey)), octets, p256) ?? '',
    /key is P-256/,
  )
  for (const method of [0, 2, 3, 11, 13, 15, 255])
    assert.match(verifySignedAuth({ kind: 'auth', method, data: octets }, octets, p256) ?? '', /\w/)
})

test('PSS parameters with their default written out, as RFC 7427 A.4.3 prints them, are read', () => {
  const printedWhole = `${printed.pss.replace('3041', '3046').replace('3034', '3039')}a303020101`
  const signature = sign('sha256', octets, {
    key: pairs.rsa.privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  })
  assert.equal(verifySignedAuth(named(printedWhole, signature), octets, credentials.rsa.certificate.publicKey), undefined)
})

test('A-18 a proof that is cut, stretched or changed anywhere is not believed, and nothing is thrown', () => {
  for (const kind of kinds) {
    const key = credentials[kind].certificate.publicKey
    for (const made of [auth(kind, acceptedHashes), auth(kind, undefined)]) {
      if (made === undefined) continue
      const { data } = made
      const step = data.length > 150 ? 7 : 1
      for (let at = 0; at < data.length; at += step) {
        assert.ok(verifySignedAuth({ ...made, data: data.subarray(0, at) }, octets, key), `${kind} cut at ${at}`)
        const changed = data.slice()
        changed[at]! ^= 0x01
        assert.ok(verifySignedAuth({ ...made, data: changed }, octets, key), `${kind} changed at ${at}`)
      }
      assert.ok(verifySignedAuth({ ...made, data: Uint8Array.of(...data, 0) }, octets, key), `${kind} stretched`)
      assert.ok(verifySignedAuth(made, octets.subarray(1), key), 'other octets')
    }
  }
  const any = fc.record({
    kind: fc.constant('auth' as const),
    method: fc.constantFrom(1, 2, 9, 10, 11, 13, 14),
    data: fc.uint8Array({ maxLength: 80 }),
  })
  fc.assert(
    fc.property(any, fc.constantFrom(...kinds), (one, kind) => {
      assert.ok(verifySignedAuth(one, octets, credentials[kind].certificate.publicKey))
    }),
    { numRuns: 500, seed: 14 },
  )
})

test('a pre-shared key: prf(prf(secret, "Key Pad for IKEv2"), octets), compared whole', () => {
  const secret = parseSharedSecret('0x000102030405060708090a0b0c0d0e0f')
  const made = makeAuth({ kind: 'psk', secret }, octets, acceptedHashes, prf, suite)!
  assert.equal(made.method, AuthMethod.SharedKey)
  assert.equal(toHex(made.data), toHex(prf(prf(secret, Buffer.from('Key Pad for IKEv2')), octets)))
  assert.equal(toHex(made.data), toHex(sharedKeyMic(prf, secret, octets)))
  assert.equal(verifySharedKeyAuth(made, octets, secret, prf), undefined)
  for (let at = 0; at < made.data.length; at++) {
    const changed = made.data.slice()
    changed[at]! ^= 0x80
    assert.ok(verifySharedKeyAuth({ ...made, data: changed }, octets, secret, prf))
    assert.ok(verifySharedKeyAuth({ ...made, data: made.data.subarray(0, at) }, octets, secret, prf))
  }
  assert.ok(verifySharedKeyAuth(made, octets, parseSharedSecret('0x000102030405060708090a0b0c0d0e0e'), prf))
  assert.match(verifySharedKeyAuth(auth('p256', acceptedHashes)!, octets, secret, prf) ?? '', /certificate/)
})

test('a resumed session proves itself by SK_p (RFC 5723), and not by a pre-shared key of that value', () => {
  const skP = new Uint8Array(32).fill(9)
  const made = { kind: 'auth', method: 2, data: resumptionMic(prf, skP, octets) } as const
  assert.equal(verifyResumptionAuth(made, octets, skP, prf), undefined)
  assert.ok(verifyResumptionAuth(made, octets, new Uint8Array(32), prf))
  assert.ok(verifyResumptionAuth({ ...made, method: 14 }, octets, skP, prf))
  assert.ok(verifySharedKeyAuth(made, octets, skP, prf))
})

test('pre-shared keys of fewer than 128 bits, and unreadable ones, are refused without a character of them', () => {
  assert.equal(toHex(parseSharedSecret('0sAAECAwQFBgcICQoLDA0ODw==')), '000102030405060708090a0b0c0d0e0f')
  assert.equal(parseSharedSecret('sixteen letters!').length, 16)
  for (const text of [
    '',
    'secret',
    '0x00',
    '0x0g',
    '0x000102030405060708090a0b0c0d0e',
    '0s!!',
    '0x000102030405060708090a0b0c0d0e0f0',
  ])
    assert.throws(
      () => parseSharedSecret(text),
      (error: Error) => error.message.includes('pre-shared key') && (text.length < 3 || !error.message.includes(text.slice(2))),
    )
})

test('SIGNATURE_HASH_ALGORITHMS both ways; SHA-1 is not in ours', () => {
  assert.equal(toHex(encodeHashAlgorithms(acceptedHashes)), '0002000300040005')
  assert.deepEqual(decodeHashAlgorithms(encodeHashAlgorithms(acceptedHashes)), [...acceptedHashes])
  assert.deepEqual(decodeHashAlgorithms(fromHex('00010002ff')), [1, 2])
  assert.deepEqual(decodeHashAlgorithms(new Uint8Array()), [])
  assert.ok(!acceptedHashes.includes(HashAlgorithm.Sha1))
})

test('ECDSA numbers keep their leading zeros between the two forms', () => {
  for (const [r, s] of [
    [`${'00'.repeat(31)}01`, 'ff'.repeat(32)],
    [`80${'00'.repeat(31)}`, `00ff${'11'.repeat(30)}`],
  ] as const) {
    const raw = fromHex(r + s)
    assert.equal(toHex(rawFromDer(derFromRaw(raw), 32)), toHex(raw))
    const numbers = new DerReader(derFromRaw(raw)).sequence()
    assert.ok(numbers.next().content.length <= 33)
  }
})

test('a credential needs the key of its certificate; both providers sign', () => {
  const { certificate } = makeLeaf(root, { spki: spki(pairs.p256.publicKey) })
  for (const kind of kinds) {
    if (kind !== 'p256')
      assert.throws(() => certificateCredential([certificate.der], pkcs8(pairs[kind].privateKey), suite), { name: 'PkiError' })
  }
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  assert.throws(() => certificateCredential([certificate.der], pkcs8(other.privateKey), suite), { code: 'signature-invalid' })
  assert.throws(() => certificateCredential([], pkcs8(other.privateKey), suite), { name: 'PkiError' })
  for (const bytes of [
    new Uint8Array(),
    Uint8Array.of(0x30, 0),
    pkcs8(generateKeyPairSync('x25519').privateKey),
    pkcs8(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey),
  ])
    assert.throws(() => certificateCredential([certificate.der], bytes, suite), { name: 'PkiError' })
  for (const kind of kinds) {
    const made = makeAuth(credential(kind, 'pss', nobleSuite), octets, acceptedHashes, prf, nobleSuite)!
    assert.equal(verifySignedAuth(made, octets, credentials[kind].certificate.publicKey), undefined, kind)
  }
})

test('a token signs as a key in a file does, in both forms; one that does not sign now is no AUTH payload', () => {
  const pair = suite.ecdsaP256.generate()
  const { certificate } = makeLeaf(root, { pair })
  let isThere = true
  const sign = (message: Uint8Array): Uint8Array | undefined => (isThere ? suite.ecdsaP256.sign(pair, message) : undefined)
  const byToken = certificateCredential([certificate.der], { kind: 'p256', signer: { sign } }, suite)
  for (const hashes of [acceptedHashes, undefined]) {
    const auth = makeAuth(byToken, octets, hashes, prf, suite)
    assert.equal(auth && verifySignedAuth(auth, octets, certificate.publicKey), undefined)
    assert.equal(auth?.method, hashes ? AuthMethod.DigitalSignature : AuthMethod.EcdsaSha256P256)
  }
  isThere = false
  assert.equal(makeAuth(byToken, octets, acceptedHashes, prf, suite), undefined)
})
