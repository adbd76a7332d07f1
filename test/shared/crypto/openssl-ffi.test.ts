import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { CLibraries, CMemory } from '#shared/crypto/openssl-ffi/evp.ts'
import { failedAgreement, knownAgreements } from '#shared/crypto/openssl-ffi/known-agreements.ts'
import { knownAnswers } from '#shared/crypto/openssl-ffi/known-answers.ts'
import { type AeadName, OpensslCrypto, opensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { withOpenssl } from '#shared/crypto/openssl-ffi/with-openssl.ts'
import type { DiffieHellman } from '#shared/crypto/suite.ts'
import { isRefusal, loadNative, type Native } from '#shared/platform/linux-engine/native.ts'
import fc from '#test/lab/properties.ts'
import { noOpenssl, openssl, opensslSuites } from './openssl-here.ts'

const skip = noOpenssl

const keyLengths: Readonly<Record<AeadName, number>> = {
  'chacha20-poly1305': 32,
  'aes-128-gcm': 16,
  'aes-192-gcm': 24,
  'aes-256-gcm': 32,
}
const names = Object.keys(keyLengths) as AeadName[]
const plainSuite = (name: AeadName) => (name === 'chacha20-poly1305' ? nobleSuite.chacha20poly1305 : nobleSuite.aesGcm)

test('the known answers are those of the specifications, by another hand', () => {
  for (const { algorithm, key, nonce, aad, plain, sealed } of knownAnswers) {
    const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
    const out = new Uint8Array(sealed.length / 2)
    plainSuite(algorithm).key(hex(key)).seal(hex(nonce), hex(aad), hex(plain), out)
    assert.deepEqual(out, hex(sealed), algorithm)
  }
  assert.deepEqual(knownAnswers.map(({ algorithm }) => algorithm).sort(), [...names].sort())
})

test('the known agreements are those of RFC 7748, by another hand', () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  for (const { scalar, own, u, result } of knownAgreements) {
    const pair = nobleSuite.x25519.pair(new Uint8Array(Buffer.from(scalar, 'hex')))
    assert.equal(hex(nobleSuite.x25519.shared(pair, new Uint8Array(Buffer.from(u, 'hex')))), result)
    if (own !== undefined) assert.equal(hex(pair.publicKey), own)
  }
  assert.equal(failedAgreement(nobleSuite.x25519), undefined)
  assert.match(failedAgreement({ ...nobleSuite.x25519, shared: () => new Uint8Array(32) })!, /does not agree/)
})

test('P-14 X25519 agrees with noble, whoever has made the pair, and keeps nothing in its memory', { skip }, () => {
  const byEvp = openssl!.evpX25519(nativeSuite.random)
  for (const x25519 of [opensslSuites[0]!.x25519, byEvp]) agreesWithNoble(x25519)
  byEvp.close()
})

function agreesWithNoble(x25519: DiffieHellman): void {
  const room = openssl!.memory.bytes
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }), (a, b) => {
      const own = x25519.pair(a)
      const foreign = nobleSuite.x25519.pair(b)
      assert.deepEqual(own, nobleSuite.x25519.pair(a))
      const secret = nobleSuite.x25519.shared(own, foreign.publicKey)
      assert.deepEqual(x25519.shared(own, foreign.publicKey), secret)
      assert.deepEqual(x25519.shared(foreign, own.publicKey), secret)
      for (const left of [secret, a, b]) assert.equal(Buffer.from(room).indexOf(left), -1)
    }),
    { numRuns: 40, examples: [[new Uint8Array(32).fill(1), new Uint8Array(32).fill(255)]] },
  )
  assert.notDeepEqual(x25519.generate(), x25519.generate())
  for (const length of [0, 31, 33]) {
    const pair = x25519.generate()
    assert.throws(() => x25519.shared(pair, new Uint8Array(length)), { name: 'CryptoError', code: 'length' })
    assert.throws(() => x25519.pair(new Uint8Array(length)), { name: 'CryptoError', code: 'length' })
  }
}

test('X25519 beneath EVP is used where the process shows it and it agrees as published; else EVP serves', { skip }, async () => {
  const native = (await loadNative()) as Native
  const calls = { evp: 0, bare: 0 }
  const librariesWith = (name: string, other: ((...values: readonly number[]) => number) | undefined): CLibraries => ({
    library: (path) => ({
      function: (declaration) => {
        if (declaration.includes(name) && other === undefined) throw new Error('no such symbol')
        const real = declaration.includes(name) ? other! : native.library(path).function(declaration)
        const kind = declaration.includes('EVP_PKEY_derive(') ? 'evp' : declaration.includes('ossl_x25519(') ? 'bare' : undefined
        if (kind === undefined) return real
        return (...values) => {
          calls[kind]++
          return real(...values)
        }
      },
    }),
  })
  const own = nobleSuite.x25519.generate()
  const other = nobleSuite.x25519.generate().publicKey
  const secret = nobleSuite.x25519.shared(own, other)
  const served = (libraries: CLibraries): 'evp' | 'bare' => {
    const crypto = opensslCrypto(libraries, native.memory(65_536))
    assert.ok(crypto instanceof OpensslCrypto)
    calls.evp = calls.bare = 0
    assert.deepEqual(crypto.x25519(nativeSuite.random).shared(own, other), secret)
    assert.equal(calls.evp + calls.bare, 1)
    return calls.evp === 1 ? 'evp' : 'bare'
  }
  const isShown = process.config.variables.node_shared_openssl !== true
  if (isShown) assert.equal(served(librariesWith('nothing', undefined)), 'bare')
  for (const symbol of ['ossl_x25519(', 'ossl_x25519_public_from_private(', 'OpenSSL_version_num('])
    assert.equal(served(librariesWith(symbol, undefined)), 'evp', `without ${symbol}`)
  assert.equal(served(librariesWith('OpenSSL_version_num(', () => 0x4000_0000)), 'evp', 'another version')
  assert.equal(served(librariesWith('ossl_x25519(', () => 1)), 'evp', 'it takes points of small order')
  assert.equal(served(librariesWith('ossl_x25519_public_from_private(', () => 0)), 'evp', 'it gives no public key')
})

test('P-14 a context is used again and again, apart or in place, and agrees with noble each time', { skip }, () => {
  const { memory } = openssl!
  const at = { key: memory.allocate(32), nonce: memory.allocate(12), aad: memory.allocate(64), a: memory.allocate(2_048), b: 0 }
  at.b = memory.allocate(2_048)
  for (const name of names) {
    const key = nativeSuite.random(keyLengths[name])
    const plainAead = plainSuite(name).key(key)
    memory.bytes.set(key, at.key)
    const sealing = openssl!.context(name, 'seal', at.key)
    const opening = openssl!.context(name, 'open', at.key)
    memory.bytes.fill(0, at.key, at.key + 32)
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.uint8Array({ maxLength: 64 }),
        fc.uint8Array({ maxLength: 1_600 }),
        fc.boolean(),
        fc.option(fc.nat(), { nil: undefined }),
        (nonce, aad, input, inPlace, bit) => {
          const expected = new Uint8Array(input.length + 16)
          plainAead.seal(nonce, aad, input, expected)
          memory.bytes.set(nonce, at.nonce)
          memory.bytes.set(aad, at.aad)
          memory.bytes.set(input, at.a)
          const to = inPlace ? at.a : at.b
          assert.equal(sealing.seal(at.nonce, at.aad, aad.length, at.a, input.length, to), expected.length)
          assert.deepEqual(memory.bytes.slice(to, to + expected.length), expected)
          const from = to
          const out = inPlace ? from : at.a
          if (bit !== undefined) {
            memory.bytes[from + ((bit >> 3) % expected.length)]! ^= 1 << (bit & 7)
            assert.equal(opening.open(at.nonce, at.aad, aad.length, from, expected.length, out), -1)
            const left = memory.bytes.subarray(out, out + input.length)
            assert.ok(
              left.every((byte) => byte === 0),
              'what is not authentic is not left lying about',
            )
            return
          }
          assert.equal(opening.open(at.nonce, at.aad, aad.length, from, expected.length, out), input.length)
          assert.deepEqual(memory.bytes.slice(out, out + input.length), input)
        },
      ),
      { numRuns: 300 },
    )
    sealing.wipe()
    opening.wipe()
    opening.wipe()
    assert.throws(() => sealing.seal(at.nonce, 0, 0, at.a, 0, at.a), { name: 'CryptoError', code: 'key' })
    assert.throws(() => opening.open(at.nonce, 0, 0, at.a, 16, at.a), { name: 'CryptoError', code: 'key' })
  }
})

test('a context has one direction, and no packet leaves the memory', { skip }, () => {
  const { memory } = openssl!
  const { size } = memory as unknown as { size: number }
  const at = memory.allocate(256)
  const sealing = openssl!.context('aes-256-gcm', 'seal', at)
  const opening = openssl!.context('aes-256-gcm', 'open', at)
  assert.throws(() => opening.seal(at, 0, 0, at, 16, at), { code: 'key' })
  assert.throws(() => sealing.open(at, 0, 0, at, 32, at), { code: 'key' })
  assert.equal(opening.open(at, 0, 0, at, 15, at), -1)
  for (const [nonceAt, aadAt, aadLength, from, length, outAt] of [
    [size - 11, 0, 0, at, 16, at],
    [at, size, 1, at, 16, at],
    [at, -1, 1, at, 16, at],
    [at, 0, 0, size - 15, 16, at],
    [at, 0, 0, at, 16, size - 15],
    [at, 0, 0, at, Number.NaN, at],
    [at, 0, 0, at, 2 ** 40, at],
  ] as const) {
    assert.throws(() => sealing.seal(nonceAt, aadAt, aadLength, from, length, outAt), RangeError)
    assert.throws(() => opening.open(nonceAt, aadAt, aadLength, from, length + 16, outAt), RangeError)
  }
  assert.throws(() => sealing.seal(at, 0, 0, at, 16, size - 31), RangeError, 'the tag too')
  // What was refused has left nothing behind.
  memory.bytes.fill(7, at, at + 64)
  assert.equal(sealing.seal(at, 0, 0, at + 64, 5, at + 128), 21)
  assert.equal(opening.open(at, 0, 0, at + 128, 21, at + 192), 5)
  assert.throws(() => openssl!.context('aes-256-gcm', 'seal', size - 31), RangeError)
})

test('packets longer than its room go the ordinary way and are the same', { skip }, () => {
  const [suite] = opensslSuites
  const input = nativeSuite.random(70_000)
  const key = nativeSuite.random(32)
  const nonce = nativeSuite.random(12)
  for (const [length, aadLength] of [
    [65_535, 900],
    [65_536, 976],
    [65_537, 0],
    [70_000, 0],
    [10, 977],
    [10, 5_000],
  ] as const) {
    const aad = nativeSuite.random(aadLength)
    const [sealed, expected] = [new Uint8Array(length + 16), new Uint8Array(length + 16)]
    suite!.aesGcm.key(key).seal(nonce, aad, input.subarray(0, length), sealed)
    nativeSuite.aesGcm.key(key).seal(nonce, aad, input.subarray(0, length), expected)
    assert.deepEqual(sealed, expected)
    const opened = new Uint8Array(length)
    assert.equal(suite!.aesGcm.key(key).open(nonce, aad, sealed, opened), length)
    assert.deepEqual(opened, input.subarray(0, length))
    suite!.aesGcm.sealOnce(key, nonce, aad, input.subarray(0, length), sealed.fill(0))
    assert.deepEqual(sealed, expected)
    assert.equal(suite!.aesGcm.openOnce(key, nonce, aad, sealed, opened.fill(0)), length)
    assert.deepEqual(opened, input.subarray(0, length))
  }
})

test('keys of one message share a context, which forgets each of them, whatever comes of the message', { skip }, async () => {
  const native = (await loadNative()) as Native
  let alive = 0
  const keys: string[] = []
  const memory = native.memory(256 * 1024)
  const watching: CLibraries = {
    library: (path) => ({
      function: (declaration) => {
        const real = native.library(path).function(declaration)
        if (!declaration.includes('EVP_EncryptInit') && !declaration.includes('EVP_DecryptInit')) {
          const step = declaration.includes('CIPHER_CTX_new') ? 1 : declaration.includes('CIPHER_CTX_free') ? -1 : 0
          if (step === 0) return real
          return (...values) => {
            alive += step
            return real(...values)
          }
        }
        return (...values) => {
          const key = values[2]!
          if (key !== 0) keys.push(Buffer.from(memory.bytes.slice(key - memory.address(0, 1)).subarray(0, 16)).toString('hex'))
          return real(...values)
        }
      },
    }),
  }
  const crypto = opensslCrypto(watching, memory)
  assert.ok(crypto instanceof OpensslCrypto)
  const { aesGcm } = withOpenssl(nativeSuite, crypto)
  const nonce = new Uint8Array(12)
  const sealed = new Uint8Array(20)
  for (let i = 1; i <= 20; i++) {
    const key = new Uint8Array(16).fill(i)
    keys.length = 0
    aesGcm.sealOnce(key, nonce, undefined, new Uint8Array(4), sealed)
    assert.equal(keys.at(-1), '0'.repeat(32), 'zeros take the place of the key')
    assert.equal(aesGcm.openOnce(key, nonce, undefined, sealed, new Uint8Array(4)), 4)
    assert.equal(aesGcm.openOnce(key.fill(99), nonce, undefined, sealed, new Uint8Array(4)), -1)
    assert.equal(keys.at(-1), '0'.repeat(32))
    assert.ok(keys.includes('63'.repeat(16)))
    assert.equal(Buffer.from(memory.bytes).indexOf(key), -1)
  }
  assert.equal(alive, 2)
})

test('a forgery leaves no error behind that Node would take for its own', { skip }, () => {
  const aead = opensslSuites[0]!.chacha20poly1305.key(new Uint8Array(32))
  for (let i = 0; i < 50; i++)
    assert.equal(aead.open(new Uint8Array(12), undefined, new Uint8Array(100), new Uint8Array(100)), -1)
  const pair = nativeSuite.ed25519.generate()
  const message = new Uint8Array(3)
  assert.ok(nativeSuite.ed25519.verify(pair.publicKey, message, nativeSuite.ed25519.sign(pair, message)))
})

test('OpenSSL that is not there, lacks a cipher or does wrong is refused with a sentence', { skip }, async () => {
  const native = (await loadNative()) as Native
  assert.ok(!isRefusal(native))
  const memory = (): CMemory => native.memory(65_536)
  const refused = (libraries: CLibraries): string => {
    const result = opensslCrypto(libraries, memory())
    assert.ok(!(result instanceof OpensslCrypto))
    assert.equal(result.code, 'self-test-failed')
    assert.match(result.mend, /node:crypto serves/)
    return result.message
  }
  const nothing: CLibraries = {
    library: (path) => {
      if (path !== null) throw new Error(`${path}: cannot open shared object file\nno such file`)
      return {
        function: () => {
          throw new Error('no such symbol')
        },
      }
    },
  }
  assert.match(refused(nothing), /^OpenSSL cannot be called directly: libcrypto\.so\.3: cannot open[^\n]*$/)
  const instead = (name: string, other: (...values: readonly number[]) => number): CLibraries => ({
    library: (path) => ({
      function: (declaration) => {
        if (declaration.includes('ossl_x25519')) throw new Error('no such symbol')
        return declaration.includes(name) ? other : native.library(path).function(declaration)
      },
    }),
  })
  assert.match(refused(instead('EVP_CIPHER_fetch', () => 0)), /has no chacha20-poly1305/)
  assert.match(refused(instead('EVP_CIPHER_CTX_new', () => 0)), /does not take the key/)
  assert.match(refused(instead('EVP_DecryptFinal_ex', () => 1)), /opens what was changed/)
  assert.match(refused(instead('EVP_CIPHER_CTX_get_params', () => 1)), /does not seal as published/)
  assert.match(refused(instead('EVP_EncryptFinal_ex', () => 0)), /does not seal/)
  assert.match(refused(instead('EVP_PKEY_new_raw_private_key', () => 0)), /does not take the private key/)
  assert.match(refused(instead('EVP_PKEY_new_raw_public_key', () => 0)), /does not take the public key/)
  assert.match(refused(instead('EVP_PKEY_set1_encoded_public_key', () => 0)), /does not take the public key/)
  assert.match(refused(instead('EVP_PKEY_set1_encoded_public_key', () => 1)), /X25519 takes a point of small order/)
  assert.match(refused(instead('EVP_PKEY_derive_set_peer_ex', () => 0)), /does not take the public key/)
  assert.match(refused(instead('EVP_PKEY_derive_init', () => 0)), /does not agree with this key/)
  assert.match(refused(instead('EVP_PKEY_get_raw_public_key', () => 0)), /does not give the public key/)
  assert.match(refused(instead('EVP_PKEY_get_raw_public_key', () => 1)), /X25519 does not give the public key as published/)
  assert.match(refused(instead('EVP_PKEY_derive(', () => 1)), /X25519 does not agree as published/)
  assert.match(refused(instead('EVP_PKEY_derive(', () => 0)), /small order/)
})

test('the library beside Node is used where Node has none of its own', { skip }, async () => {
  const native = (await loadNative()) as Native
  const asked: (string | null)[] = []
  const libraries: CLibraries = {
    library: (path) => {
      asked.push(path)
      return {
        function: (declaration) => {
          if (path === null && !declaration.includes('strstr')) throw new Error('no such symbol')
          return native.library(null).function(declaration)
        },
      }
    },
  }
  assert.ok(opensslCrypto(libraries, native.memory(65_536)) instanceof OpensslCrypto)
  assert.deepEqual(asked.slice(0, 2), [null, 'libcrypto.so.3'])
})

test('every context is freed: when its key is wiped, and when nobody has the key any more', { skip }, async () => {
  const native = (await loadNative()) as Native
  let alive = 0
  const counting: CLibraries = {
    library: (path) => ({
      function: (declaration) => {
        const real = native.library(path).function(declaration)
        const step = declaration.includes('CTX_new') ? 1 : declaration.includes('CTX_free') ? -1 : 0
        if (step === 0) return real
        return (...values) => {
          alive += step
          return real(...values)
        }
      },
    }),
  }
  const crypto = opensslCrypto(counting, native.memory(256 * 1024))
  assert.ok(crypto instanceof OpensslCrypto)
  assert.equal(alive, 0, 'the test at the start leaves none')
  const suite = withOpenssl(nativeSuite, crypto)
  const use = () => {
    const aead = suite.aesGcm.key(new Uint8Array(16))
    const packet = new Uint8Array(20)
    aead.seal(new Uint8Array(12), undefined, new Uint8Array(4), packet)
    assert.equal(aead.open(new Uint8Array(12), undefined, packet, packet), 4)
    return aead
  }
  const aead = use()
  assert.equal(alive, 2)
  aead.wipe()
  aead.wipe()
  assert.equal(alive, 0)
  for (let i = 0; i < 10; i++) use()
  assert.equal(alive, 20)
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let turn = 0; turn < 50 && alive > 0; turn++) {
    collect()
    await new Promise((done) => setImmediate(done))
  }
  assert.equal(alive, 0)
})

test('private keys in the form of OpenSSL are freed: pushed out by others, wiped by their owner, and in the end', {
  skip,
}, async () => {
  const native = (await loadNative()) as Native
  const alive = { keys: 0, contexts: 0 }
  const steps: readonly [string, keyof typeof alive, 1 | -1][] = [
    ['EVP_PKEY_new_raw', 'keys', 1],
    ['EVP_PKEY_free', 'keys', -1],
    ['EVP_PKEY_CTX_new', 'contexts', 1],
    ['EVP_PKEY_CTX_free', 'contexts', -1],
  ]
  const counting: CLibraries = {
    library: (path) => ({
      function: (declaration) => {
        const real = native.library(path).function(declaration)
        const step = steps.find(([name]) => declaration.includes(name))
        if (step === undefined) return real
        return (...values) => {
          alive[step[1]] += step[2]
          return real(...values)
        }
      },
    }),
  }
  const crypto = opensslCrypto(counting, native.memory(256 * 1024))
  assert.ok(crypto instanceof OpensslCrypto)
  assert.deepEqual(alive, { keys: 0, contexts: 0 }, 'the test at the start leaves none')
  const x25519 = crypto.evpX25519(nativeSuite.random)
  const own = x25519.generate()
  const other = nobleSuite.x25519.generate()
  const secret = x25519.shared(own, other.publicKey)
  // One more for everybody's public keys.
  assert.deepEqual(alive, { keys: 2, contexts: 1 })
  const ephemeral = x25519.generate()
  assert.equal(alive.contexts, 2)
  ephemeral.privateKey.fill(0)
  x25519.shared(own, other.publicKey)
  assert.deepEqual(alive, { keys: 2, contexts: 1 }, 'wiped, and freed at the next call')
  const many = Array.from({ length: 200 }, () => x25519.generate())
  assert.ok(alive.contexts <= 64, String(alive.contexts))
  assert.deepEqual(x25519.shared(own, other.publicKey), secret, 'what was pushed out is made anew')
  assert.deepEqual(x25519.shared(many[0]!, own.publicKey), x25519.shared(own, many[0]!.publicKey))
  const atMost = alive.contexts
  for (let i = 0; i < 100; i++) x25519.shared(own, other.publicKey)
  assert.equal(alive.contexts, atMost, 'what is used stays')
  x25519.close()
  assert.deepEqual(alive, { keys: 0, contexts: 0 })
  assert.deepEqual(x25519.shared(own, other.publicKey), secret)
  x25519.close()
})
