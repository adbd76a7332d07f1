import assert from 'node:assert/strict'
import { generateKeyPair } from 'node:crypto'
import { before, test } from 'node:test'
import { promisify } from 'node:util'
import { fromBase64url } from '#shared/bytes/base64.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { RsaHash, RsaPadding, RsaPrivateKey, RsaPublicKey, Suite } from '#shared/crypto/suite.ts'

const providers: readonly [Suite, Suite][] = [
  [nativeSuite, nobleSuite],
  [nobleSuite, nativeSuite],
]
const hashes: readonly RsaHash[] = ['sha256', 'sha384', 'sha512']
const paddings: readonly RsaPadding[] = ['pkcs1', 'pss']

async function freshKey(bits: number): Promise<RsaPrivateKey> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: bits })
  const jwk = privateKey.export({ format: 'jwk' })
  const number = (text: string | undefined): Uint8Array => fromBase64url(text ?? assert.fail('a number is missing'))
  return {
    modulus: number(jwk.n),
    exponent: number(jwk.e),
    privateExponent: number(jwk.d),
    prime1: number(jwk.p),
    prime2: number(jwk.q),
    exponent1: number(jwk.dp),
    exponent2: number(jwk.dq),
    coefficient: number(jwk.qi),
  }
}

let keys: readonly RsaPrivateKey[] = []
// The last has a modulus of 8k + 1 bits, whose PSS encoding is a byte shorter than the modulus (RFC 8017 §8.1.1).
before(async () => {
  keys = await Promise.all([2048, 3072, 2049].map(freshKey))
})
const publicOf = ({ modulus, exponent }: RsaPrivateKey): RsaPublicKey => ({ modulus, exponent })
const message = nativeSuite.random(300)

test('P-14 rsa: each verifies what the other signs, and nothing else', () => {
  for (const [one, other] of providers)
    for (const key of keys)
      for (const padding of paddings)
        for (const hash of hashes) {
          const signature = one.rsa.sign(key, padding, hash, message)
          assert.equal(signature.length, key.modulus.length)
          for (const suite of [one, other]) {
            const { verify } = suite.rsa
            assert.ok(verify(publicOf(key), padding, hash, message, signature), `${suite.name} ${padding} ${hash}`)
            assert.ok(!verify(publicOf(key), padding, hash, message.subarray(1), signature))
            assert.ok(!verify(publicOf(key), padding, hash === 'sha256' ? 'sha512' : 'sha256', message, signature))
            assert.ok(!verify(publicOf(key), padding === 'pss' ? 'pkcs1' : 'pss', hash, message, signature))
            assert.ok(!verify(publicOf(keys[key === keys[0] ? 1 : 0]!), padding, hash, message, signature))
          }
        }
})

test('rsa: signatures of wrong sizes, of zeros and beyond the modulus are refused, and strange keys verify nothing', () => {
  for (const [suite] of providers)
    for (const padding of paddings) {
      const key = publicOf(keys[0]!)
      const good = suite.rsa.sign(keys[0]!, padding, 'sha256', message)
      const size = key.modulus.length
      for (const signature of [
        new Uint8Array(0),
        new Uint8Array(size),
        new Uint8Array(size).fill(0xff),
        key.modulus,
        good.subarray(1),
        Uint8Array.of(0, ...good),
        Uint8Array.of(...good, 0),
      ])
        assert.equal(suite.rsa.verify(key, padding, 'sha256', message, signature), false)
      const none = new Uint8Array(0)
      for (const strange of [
        { modulus: none, exponent: none },
        { modulus: Uint8Array.of(1), exponent: Uint8Array.of(3) },
        { modulus: new Uint8Array(256), exponent: Uint8Array.of(1, 0, 1) },
        { modulus: key.modulus, exponent: none },
        { modulus: new Uint8Array(256).fill(0xfe), exponent: Uint8Array.of(2) },
      ])
        assert.equal(suite.rsa.verify(strange, padding, 'sha256', message, good), false)
    }
})

test('rsa: numbers that make no key do not sign', () => {
  const key = keys[0]!
  for (const [suite] of providers) {
    const short: RsaPrivateKey = { ...key, modulus: Uint8Array.of(3) }
    for (const padding of paddings)
      assert.throws(() => suite.rsa.sign(short, padding, 'sha512', message), { name: 'CryptoError', code: 'key' })
  }
})
