import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { Aead, AeadAlgorithm, HashName, Suite } from '#shared/crypto/suite.ts'
import fc from '#test/lab/properties.ts'
import { opensslSuites } from './openssl-here.ts'

/** P-14: what the vectors do not reach, two implementations by different hands must agree on. */
const providers: readonly [Suite, Suite][] = [
  [nativeSuite, nobleSuite],
  [nobleSuite, nativeSuite],
  ...opensslSuites.map((suite): [Suite, Suite] => [suite, nobleSuite]),
]
const bytes = (maxLength: number) => fc.uint8Array({ maxLength })
const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
/** What has its key said with each message, as if it kept it. */
const oneMessageAead = (algorithm: AeadAlgorithm, key: Uint8Array): Aead => ({
  seal: (...packet) => algorithm.sealOnce(key, ...packet),
  open: (...packet) => algorithm.openOnce(key, ...packet),
  wipe: () => {},
})
const hashNames: readonly HashName[] = ['sha1', 'sha256', 'sha384', 'sha512', 'blake2s', 'blake2b']

test('P-14 native and noble hash alike, in one part or many, short or streamed', () => {
  fc.assert(
    fc.property(fc.constantFrom(...hashNames), fc.array(bytes(700), { maxLength: 4 }), bytes(200), (name, parts, key) => {
      assert.deepEqual(nativeSuite.hash(name, ...parts), nobleSuite.hash(name, ...parts))
      const tag = nativeSuite.hmac(name, key, ...parts)
      assert.deepEqual(tag, nobleSuite.hmac(name, key, ...parts))
      for (const [suite] of providers) {
        const ready = suite.hmacKey(name, key)
        assert.equal(ready.length, tag.length)
        for (let i = 0; i < 2; i++) assert.deepEqual(ready.mac(...parts), tag)
      }
    }),
  )
})

test('P-14 native and noble derive alike, and refuse alike what HKDF cannot give', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...hashNames),
      bytes(80),
      bytes(80),
      bytes(80),
      fc.nat(300),
      (name, secret, salt, info, length) => {
        assert.deepEqual(nativeSuite.hkdf(name, secret, salt, info, length), nobleSuite.hkdf(name, secret, salt, info, length))
      },
    ),
  )
  const none = new Uint8Array(0)
  for (const [suite] of providers) {
    assert.equal(suite.hkdf('sha256', none, none, none, 255 * 32).length, 255 * 32)
    assert.throws(() => suite.hkdf('sha256', none, none, none, 255 * 32 + 1), { name: 'CryptoError', code: 'length' })
  }
})

test('P-14 keyed BLAKE2 of every output length agrees, and wrong sizes are refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 32 }), bytes(32), bytes(300), (length, key, input) => {
      assert.deepEqual(nativeSuite.blake2s(length, key, input), nobleSuite.blake2s(length, key, input))
      assert.deepEqual(nativeSuite.blake2b(length * 2, key, input), nobleSuite.blake2b(length * 2, key, input))
    }),
  )
  for (const [suite] of providers) {
    assert.throws(() => suite.blake2s(33, new Uint8Array(0)), { code: 'length' })
    assert.throws(() => suite.blake2s(32, new Uint8Array(33)), { code: 'length' })
    assert.throws(() => suite.blake2b(0, new Uint8Array(0)), { code: 'length' })
    assert.throws(() => suite.blake2b(64, new Uint8Array(65)), { code: 'length' })
  }
})

for (const name of ['chacha20poly1305', 'xchacha20poly1305', 'aesGcm'] as const) {
  test(`P-14 ${name}: one seals, the other opens, and no bit may change`, () => {
    const { keyLengths, nonceLength } = nativeSuite[name]
    fc.assert(
      fc.property(
        fc.constantFrom(...keyLengths).chain(exactly),
        exactly(nonceLength),
        fc.option(bytes(40), { nil: undefined }),
        bytes(1500),
        fc.nat(),
        (key, nonce, aad, input, place) => {
          const aeads = providers.flatMap(([suite]) => [suite[name].key(key), oneMessageAead(suite[name], key)])
          const sealed = new Uint8Array(input.length + 16)
          const again = new Uint8Array(input.length + 16)
          assert.equal(aeads[0]!.seal(nonce, aad, input, sealed), sealed.length)
          for (const aead of aeads) {
            assert.equal(aead.seal(nonce, aad, input, again.fill(0)), sealed.length)
            assert.deepEqual(sealed, again)
          }
          const opened = new Uint8Array(input.length)
          for (const aead of aeads) {
            assert.equal(aead.open(nonce, aad, sealed, opened.fill(0)), input.length)
            assert.deepEqual(opened, input)
          }
          const bit = place % (sealed.length * 8)
          sealed[bit >> 3] = (sealed[bit >> 3] as number) ^ (1 << (bit & 7))
          for (const aead of aeads) assert.equal(aead.open(nonce, aad, sealed, opened), -1)
        },
      ),
    )
  })
}

test('an AEAD works in place, refuses wrong sizes, and forgets its key', () => {
  for (const [suite] of providers) {
    for (const algorithm of [suite.chacha20poly1305, suite.xchacha20poly1305, suite.aesGcm]) {
      assert.throws(() => algorithm.key(new Uint8Array(31)), { name: 'CryptoError', code: 'length' })
      const nonce = new Uint8Array(algorithm.nonceLength)
      const memory = Uint8Array.from({ length: 116 }, (_, i) => i)
      const plain = memory.slice(0, 100)
      const kept = algorithm.key(new Uint8Array(32))
      for (const aead of [kept, oneMessageAead(algorithm, new Uint8Array(32))]) {
        assert.equal(aead.seal(nonce, undefined, memory.subarray(0, 100), memory), 116)
        assert.equal(aead.open(nonce, undefined, memory, memory), 100)
        assert.deepEqual(memory.subarray(0, 100), plain)
        assert.equal(aead.open(nonce, undefined, memory.subarray(0, 15), memory), -1, 'shorter than a tag')
        assert.throws(() => aead.seal(nonce, undefined, plain, new Uint8Array(115)), { code: 'length' })
        assert.throws(() => aead.seal(nonce.subarray(1), undefined, plain, memory), { code: 'length' })
        assert.throws(() => aead.open(nonce.subarray(1), undefined, memory, memory), { code: 'length' })
      }
      kept.wipe()
      assert.throws(() => kept.seal(nonce, undefined, plain, memory), { code: 'key' })
      const short = new Uint8Array(31)
      assert.throws(() => algorithm.sealOnce(short, nonce, undefined, plain, memory), { name: 'CryptoError', code: 'length' })
      assert.throws(() => algorithm.openOnce(short, nonce, undefined, memory, plain), { name: 'CryptoError', code: 'length' })
    }
  }
})

test('P-14 aesCbc: one encrypts, the other decrypts, in place too; sizes are kept to and keys forgotten', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(16, 24, 32).chain(exactly),
      exactly(16),
      fc.nat(90).chain((blocks) => exactly(16 * blocks)),
      (key, iv, input) => {
        const [a, b] = [nativeSuite.aesCbc.key(key), nobleSuite.aesCbc.key(key)]
        const out = new Uint8Array(input.length)
        const again = Uint8Array.from(input)
        assert.equal(a.encrypt(iv, input, out), input.length)
        assert.equal(b.encrypt(iv, again, again), input.length)
        assert.deepEqual(out, again)
        assert.equal(b.decrypt(iv, out, out), input.length)
        assert.equal(a.decrypt(iv, again, again), input.length)
        assert.deepEqual(out, input)
        assert.deepEqual(again, input)
      },
    ),
  )
  for (const [suite] of providers) {
    assert.throws(() => suite.aesCbc.key(new Uint8Array(31)), { name: 'CryptoError', code: 'length' })
    const key = suite.aesCbc.key(new Uint8Array(32))
    const block = new Uint8Array(16)
    for (const [iv, input, out] of [
      [block.subarray(1), block, block],
      [block, block.subarray(1), block],
      [block, block, block.subarray(1)],
    ] as const) {
      assert.throws(() => key.encrypt(iv, input, out), { name: 'CryptoError', code: 'length' })
      assert.throws(() => key.decrypt(iv, input, out), { name: 'CryptoError', code: 'length' })
    }
    key.wipe()
    assert.throws(() => key.encrypt(block, block, block), { code: 'key' })
    const mac = suite.hmacKey('sha256', block)
    mac.wipe()
    assert.throws(() => mac.mac(block), { code: 'key' })
  }
})

test('random bytes come in any length, and none twice', () => {
  for (const [suite] of providers) {
    const seen = new Set<string>()
    for (let i = 0; i < 400; i++) for (const length of [8, 12, 16, 32, 64, 65]) seen.add(suite.random(length).join())
    assert.equal(seen.size, 400 * 6)
    for (const length of [0, 1, 5000]) assert.equal(suite.random(length).length, length)
    // All values come up, at every place of a draw.
    for (const place of [0, 31]) assert.equal(new Set(Array.from({ length: 5000 }, () => suite.random(32)[place])).size, 256)
  }
})

test('a key is copied when it is made ready', () => {
  for (const [suite] of providers) {
    const raw = suite.random(32)
    const aead = suite.chacha20poly1305.key(raw)
    const nonce = new Uint8Array(12)
    const before = new Uint8Array(16)
    const after = new Uint8Array(16)
    aead.seal(nonce, undefined, new Uint8Array(0), before)
    raw.fill(0)
    aead.seal(nonce, undefined, new Uint8Array(0), after)
    assert.deepEqual(before, after)
  }
})

for (const curve of ['x25519', 'ecdhP256', 'ecdhP384', 'ecdhP521'] as const) {
  test(`P-14 ${curve}: both providers make the same public key and agree with each other`, () => {
    const [native, noble] = [nativeSuite[curve], nobleSuite[curve]]
    for (let i = 0; i < 5; i++) {
      const a = native.generate()
      const b = noble.generate()
      assert.deepEqual(noble.pair(a.privateKey), a)
      assert.deepEqual(native.pair(b.privateKey), b)
      assert.equal(a.publicKey.length, native.publicKeyLength)
      const secret = native.shared(a, b.publicKey)
      assert.equal(secret.length, native.sharedLength)
      assert.deepEqual(noble.shared(b, a.publicKey), secret)
      assert.deepEqual(native.shared({ ...b }, a.publicKey), secret, 'a pair that the provider did not make')
    }
  })
}

for (const signer of ['ed25519', 'ecdsaP256', 'ecdsaP256Raw', 'ecdsaP384'] as const) {
  test(`P-14 ${signer}: each verifies what the other signs, and nothing else`, () => {
    for (const [one, other] of providers) {
      const pair = one[signer].generate()
      assert.deepEqual(other[signer].pair(pair.privateKey), pair)
      const message = one.random(100)
      const signature = one[signer].sign(pair, message)
      const { publicKey } = pair
      for (const suite of [one, other]) {
        assert.ok(suite[signer].verify(publicKey, message, signature))
        assert.ok(!suite[signer].verify(publicKey, message.subarray(1), signature))
        assert.ok(!suite[signer].verify(publicKey, message, signature.subarray(1)))
        assert.ok(!suite[signer].verify(publicKey.subarray(1), message, signature))
        assert.ok(!suite[signer].verify(publicKey, message, new Uint8Array(signature.length)))
        assert.ok(!suite[signer].verify(new Uint8Array(publicKey.length), message, signature))
        assert.ok(!suite[signer].verify(other[signer].generate().publicKey, message, signature))
        assert.ok(suite[signer].verify(publicKey, message, suite[signer].sign({ ...pair }, message)))
      }
    }
  })
}

test('random bytes are as many as asked, and never twice the same', () => {
  for (const [suite] of providers) {
    assert.equal(suite.random(0).length, 0)
    assert.notDeepEqual(suite.random(32), suite.random(32))
  }
})
