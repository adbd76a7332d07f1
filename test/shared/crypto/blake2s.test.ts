import assert from 'node:assert/strict'
import test from 'node:test'
import { blake2s, hmacBlake2s } from '#shared/crypto/native/blake2s.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'

test('BLAKE2s written out agrees with noble: every short length, keyed and not, every output length', () => {
  for (let n = 0; n <= 260; n++) {
    const input = nativeSuite.random(n)
    const key = nativeSuite.random(n % 33)
    const length = 1 + (n % 32)
    assert.deepEqual(blake2s(length, key, input), nobleSuite.blake2s(length, key, input), `length ${n}`)
    const cut = n >> 1
    assert.deepEqual(blake2s(32, key, input.subarray(0, cut), input.subarray(cut)), nobleSuite.blake2s(32, key, input))
  }
})

test('HMAC-BLAKE2s agrees with noble, also with keys longer than a block', () => {
  for (let n = 0; n <= 130; n++) {
    const key = nativeSuite.random(n)
    const input = nativeSuite.random(130 - n)
    assert.deepEqual(hmacBlake2s(key, input, key), nobleSuite.hmac('blake2s', key, input, key), `key of ${n}`)
  }
})

test('BLAKE2s refuses lengths that RFC 7693 does not have', () => {
  for (const length of [0, 33, 1.5]) assert.throws(() => blake2s(length, new Uint8Array(0)), { code: 'length' })
  assert.throws(() => blake2s(32, new Uint8Array(33)), { code: 'length' })
})
