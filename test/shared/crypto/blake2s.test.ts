import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'
import { blake2s, compressOnVectors, hmacBlake2s } from '#shared/crypto/native/blake2s.ts'
import { plainCompression } from '#shared/crypto/native/blake2s-plain.ts'
import { simdCompression } from '#shared/crypto/native/blake2s-simd.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import fc from '#test/lab/properties.ts'

function agreesWithNoble(): void {
  for (let n = 0; n <= 260; n++) {
    const input = nativeSuite.random(n)
    const key = nativeSuite.random(n % 33)
    const length = 1 + (n % 32)
    assert.deepEqual(blake2s(length, key, input), nobleSuite.blake2s(length, key, input), `length ${n}`)
    const cut = n >> 1
    assert.deepEqual(blake2s(32, key, input.subarray(0, cut), input.subarray(cut)), nobleSuite.blake2s(32, key, input))
  }
}

function macsAgreeWithNoble(): void {
  for (let n = 0; n <= 130; n++) {
    const key = nativeSuite.random(n)
    const input = nativeSuite.random(130 - n)
    assert.deepEqual(hmacBlake2s(key, [input, key]), nobleSuite.hmac('blake2s', key, input, key), `key of ${n}`)
    // A handshake ends with these: what it is split from is empty.
    assert.deepEqual(hmacBlake2s(key, []), nobleSuite.hmac('blake2s', key), `key of ${n}, no message`)
    for (const length of [0, 1, 64, 65])
      assert.deepEqual(hmacBlake2s(key, [input.subarray(0, length)]), nobleSuite.hmac('blake2s', key, input.subarray(0, length)))
  }
}

test('BLAKE2s agrees with noble, written out and then on vectors: every short length, keyed and not, every output length', () => {
  agreesWithNoble()
  macsAgreeWithNoble()
  compressOnVectors()
  agreesWithNoble()
  macsAgreeWithNoble()
})

test('BLAKE2s refuses lengths that RFC 7693 does not have', () => {
  for (const length of [0, 33, 1.5]) assert.throws(() => blake2s(length, new Uint8Array(0)), { code: 'length' })
  assert.throws(() => blake2s(32, new Uint8Array(33)), { code: 'length' })
})

test('P-14 the compression on vectors does what the plain one does, and leaves the block alone', () => {
  const plain = plainCompression()
  const simd = simdCompression()
  assert.ok(simd !== undefined, 'every processor that tests run on has vectors')
  const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
  fc.assert(
    fc.property(exactly(32), exactly(64), fc.nat(2 ** 31 - 1), fc.boolean(), (state, block, total, last) => {
      for (const { h, block: own, compress } of [plain, simd]) {
        h.set(new Int32Array(state.slice().buffer))
        own.set(block)
        compress(total, last)
        assert.deepEqual(own, block)
      }
      assert.deepEqual([...simd.h], [...plain.h])
    }),
    { numRuns: 500 },
  )
})

test('without WebAssembly the hashes are the same', () => {
  const said = execFileSync(
    process.execPath,
    ['--no-warnings', '--jitless', '--import', 'tsx', join(import.meta.dirname, 'blake2s-without-wasm-child.ts')],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  )
  const expected = nobleSuite.blake2s(32, new Uint8Array(0), new Uint8Array(100))
  assert.equal(said, `plain ${Buffer.from(expected).toString('hex')}`)
})
