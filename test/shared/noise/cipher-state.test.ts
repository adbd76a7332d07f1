import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import { CipherState, maxNonce } from '#shared/noise/cipher-state.ts'
import { cryptoFunctions } from '#shared/noise/crypto-functions.ts'
import { parseProtocolName } from '#shared/noise/protocol-name.ts'

const functions = (cipher: string) => cryptoFunctions(nativeSuite, parseProtocolName(`Noise_NN_25519_${cipher}_BLAKE2s`))
const key = Uint8Array.from({ length: 32 }, (_, i) => i)
const ad = Uint8Array.of(1, 2, 3)
const text = new TextEncoder().encode('a payload')

/** The plain twin: the cipher called by hand with a nonce written out by hand. */
function sealedByHand(cipher: 'ChaChaPoly' | 'AESGCM', n: bigint): Uint8Array {
  const nonce = new Uint8Array(12)
  for (let i = 0n; i < 8n; i++) {
    const byte = Number((n >> (8n * i)) & 0xffn)
    nonce[cipher === 'ChaChaPoly' ? 4 + Number(i) : 11 - Number(i)] = byte
  }
  const algorithm = cipher === 'ChaChaPoly' ? nobleSuite.chacha20poly1305 : nobleSuite.aesGcm
  const out = new Uint8Array(text.length + 16)
  algorithm.key(key).seal(nonce, ad, text, out)
  return out
}

for (const cipher of ['ChaChaPoly', 'AESGCM'] as const) {
  test(`${cipher}: the nonce is 64 bits wide and exact at 2^32, 2^53 and up to 2^64-2`, () => {
    const edges = [0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, maxNonce - 2n]
    for (const n of edges) {
      const sender = new CipherState(functions(cipher), key)
      const receiver = new CipherState(functions(cipher), key)
      sender.setNonce(n)
      receiver.setNonce(n)
      for (const at of [n, n + 1n]) {
        const sealed = sender.encryptWithAd(ad, text)
        assert.deepEqual(sealed, sealedByHand(cipher, at), `nonce ${at}`)
        assert.deepEqual(receiver.decryptWithAd(ad, sealed), text)
      }
      assert.equal(sender.nonce, n + 2n)
      assert.equal(receiver.nonce, n + 2n)
    }
  })
}

test('nonce 2^64-1 is reserved: neither direction uses it', () => {
  const state = new CipherState(functions('ChaChaPoly'), key)
  state.setNonce(maxNonce)
  assert.throws(() => state.encryptWithAd(ad, text), { name: 'NoiseError', code: 'exhausted' })
  assert.throws(() => state.decryptWithAd(ad, sealedByHand('ChaChaPoly', maxNonce)), { code: 'exhausted' })
  assert.equal(state.nonce, maxNonce)
  for (const n of [-1n, 2n ** 64n]) assert.throws(() => state.setNonce(n), RangeError)
})

test('what does not authenticate moves nothing', () => {
  const state = new CipherState(functions('ChaChaPoly'), key)
  const sealed = sealedByHand('ChaChaPoly', 0n)
  for (let bit = 0; bit < sealed.length * 8; bit += 7) {
    const forged = sealed.slice()
    forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.throws(() => state.decryptWithAd(ad, forged), { code: 'decrypt' })
  }
  assert.throws(() => state.decryptWithAd(new Uint8Array(0), sealed), { code: 'decrypt' })
  assert.throws(() => state.decryptWithAd(ad, sealed.subarray(0, 15)), { code: 'short' })
  assert.equal(state.nonce, 0n)
  assert.deepEqual(state.decryptWithAd(ad, sealed), text)
})

test('while k is empty, bytes pass through as copies and n stands still', () => {
  const state = new CipherState(functions('ChaChaPoly'))
  assert.ok(!state.hasKey())
  const out = state.encryptWithAd(ad, text)
  assert.deepEqual(out, text)
  assert.notEqual(out.buffer, text.buffer)
  assert.equal(state.nonce, 0n)
  assert.throws(() => state.exportKey(), { code: 'turn' })
  assert.throws(() => state.rekey(), { code: 'turn' })
})

test('rekey is the encryption of zeros under nonce 2^64-1, and keeps n', () => {
  const state = new CipherState(functions('ChaChaPoly'), key)
  state.encryptWithAd(ad, text)
  state.rekey()
  const expected = new Uint8Array(48)
  const nonce = Uint8Array.of(0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255)
  nobleSuite.chacha20poly1305.key(key).seal(nonce, undefined, new Uint8Array(32), expected)
  assert.deepEqual(state.exportKey(), expected.subarray(0, 32))
  assert.equal(state.nonce, 1n)
})

test('an exported key is a copy, and a wiped state has none', () => {
  const state = new CipherState(functions('ChaChaPoly'), key)
  state.exportKey().fill(0)
  assert.deepEqual(state.exportKey(), key)
  state.wipe()
  assert.ok(!state.hasKey())
})
