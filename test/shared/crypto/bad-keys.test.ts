import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { isUnsafeEd25519Key } from '#shared/crypto/ed25519-keys.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'

const providers = [nativeSuite, nobleSuite]

/** Every encoding of a point whose order divides 8 on Curve25519 or its twist (RFC 7748 §6.1, §7). */
const lowOrderX25519 = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]

test('A-15 X25519 with a low-order public key is refused, also with the unused top bit set', () => {
  for (const { x25519, name } of providers) {
    const pair = x25519.generate()
    for (const hex of lowOrderX25519) {
      const key = fromHex(hex)
      assert.throws(() => x25519.shared(pair, key), { name: 'CryptoError', code: 'low-order' }, `${name} ${hex}`)
      key[31] = (key[31] as number) | 0x80
      assert.throws(() => x25519.shared(pair, key), { name: 'CryptoError', code: 'low-order' }, `${name} ${hex} with top bit`)
    }
    assert.equal(x25519.shared(pair, x25519.generate().publicKey).length, 32, 'and the pair still agrees with an honest key')
  }
})

test('A-15 keys of a wrong length are refused', () => {
  for (const suite of providers) {
    for (const dh of [suite.x25519, suite.ecdhP256, suite.ecdhP384]) {
      const pair = dh.generate()
      for (const length of [0, dh.publicKeyLength - 1, dh.publicKeyLength + 1])
        assert.throws(() => dh.shared(pair, new Uint8Array(length)), { name: 'CryptoError', code: 'length' })
      assert.throws(() => dh.pair(new Uint8Array(31)), { code: 'length' })
      assert.throws(() => dh.shared({ ...pair, privateKey: new Uint8Array(31) }, pair.publicKey), { code: 'length' })
    }
  }
})

test('A-15 points off the curve, at infinity, compressed or hybrid are refused by ECDH and never verify', () => {
  for (const suite of providers) {
    for (const [dh, signer] of [
      [suite.ecdhP256, suite.ecdsaP256],
      [suite.ecdhP384, suite.ecdsaP384],
    ] as const) {
      const pair = dh.generate()
      const off = pair.publicKey.slice()
      off[off.length - 1] = (off.at(-1) as number) ^ 1
      const origin = new Uint8Array(dh.publicKeyLength)
      origin[0] = 4
      for (const key of [off, origin]) {
        assert.throws(() => dh.shared(pair, key), { name: 'CryptoError', code: 'off-curve' })
        assert.ok(!signer.verify(key, new Uint8Array(1), signer.sign(pair, new Uint8Array(1))))
      }
      const size = dh.sharedLength
      const compressed = Uint8Array.of(2, ...pair.publicKey.subarray(1, 1 + size))
      const hybrid = Uint8Array.of(6, ...pair.publicKey.subarray(1))
      for (const key of [compressed, hybrid, Uint8Array.of(0)]) assert.throws(() => dh.shared(pair, key), { code: 'length' })
    }
  }
})

test('A-15 private keys of zero or of the group order are refused', () => {
  const order = fromHex('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
  for (const { ecdhP256 } of providers)
    for (const key of [new Uint8Array(32), order]) assert.throws(() => ecdhP256.pair(key), { name: 'CryptoError', code: 'key' })
})

/** RFC 8032: encodings of the points of order 1, 2, 4 and 8, and unreduced forms of them. */
const smallOrderEd25519 = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '0000000000000000000000000000000000000000000000000000000000000000',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
]

test('A-15 an Ed25519 key of small order, under which one signature fits every message, never verifies', () => {
  // R = A = the neutral element and S = 0 satisfy the equation for any message.
  const neutral = fromHex(smallOrderEd25519[0] as string)
  const signature = new Uint8Array(64)
  signature.set(neutral)
  for (const { ed25519, name } of providers) {
    for (const hex of smallOrderEd25519)
      for (const message of [new Uint8Array(0), Uint8Array.of(1)])
        assert.ok(!ed25519.verify(fromHex(hex), message, signature), `${name} ${hex}`)
  }
  for (const hex of smallOrderEd25519) assert.ok(isUnsafeEd25519Key(fromHex(hex)), hex)
  for (let i = 0; i < 20; i++) assert.ok(!isUnsafeEd25519Key(nativeSuite.ed25519.generate().publicKey))
})
