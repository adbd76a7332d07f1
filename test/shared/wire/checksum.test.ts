import assert from 'node:assert/strict'
import test from 'node:test'
import { foldChecksum, pseudoHeaderSum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import fc from '#test/lab/properties.ts'

/** RFC 1071, word by word. */
function plain(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return ~sum & 0xffff
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

test('the fast sum is the plain one at every length and offset', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), (bytes, skip) => {
      const from = Math.min(skip, bytes.length)
      const expected = plain(bytes.subarray(from))
      assert.equal(swap16(foldChecksum(sumWords(viewOf(bytes), from, bytes.length))) % 0xffff, expected % 0xffff)
    }),
  )
})

test('the largest packet of the largest words does not overflow', () => {
  const bytes = new Uint8Array(65_535).fill(0xff)
  assert.equal(swap16(foldChecksum(sumWords(viewOf(bytes), 0, bytes.length, 0xffff_ffff))) % 0xffff, plain(bytes) % 0xffff)
})

test('the example of RFC 1071 §3', () => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)
  assert.equal(swap16(foldChecksum(sumWords(viewOf(bytes), 0, 8))), ~0xddf2 & 0xffff)
})

test('a pseudo-header is the sum of its bytes', () => {
  const a = Uint8Array.of(10, 0, 0, 1)
  const b = Uint8Array.of(10, 0, 0, 2)
  const bytes = Uint8Array.of(...a, ...b, 0, 6)
  assert.equal(foldChecksum(pseudoHeaderSum(a, b, 6)), foldChecksum(sumWords(viewOf(bytes), 0, 10)))
})
