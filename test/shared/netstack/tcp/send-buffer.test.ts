import assert from 'node:assert/strict'
import test from 'node:test'
import { SendBuffer } from '#shared/netstack/tcp/send-buffer.ts'
import fc from '#test/lab/properties.ts'

const block = 32_768

/** A stream of which each byte tells its place: the period is prime. */
const stream = Buffer.alloc(
  4 * 1024 * 1024,
  Uint8Array.from({ length: 251 }, (_, i) => i),
)

const bytesFrom = (place: number, count: number): Uint8Array => stream.subarray(place % 251, (place % 251) + count)

const read = (buffer: SendBuffer, offset: number, count: number): Uint8Array => {
  const target = new Uint8Array(count + 2)
  buffer.copyTo(offset, count, target, 1)
  assert.deepEqual([target[0], target[count + 1]], [0, 0], 'it writes nothing around what was asked for')
  return target.subarray(1, count + 1)
}

/** Says where, and not all of it: deepEqual would print megabytes. */
const assertSame = (actual: Uint8Array, expected: Uint8Array): void => {
  const at = actual.findIndex((byte, i) => byte !== expected[i])
  assert.deepEqual([actual.length, at], [expected.length, -1])
}

test('a send buffer is a queue of bytes, wherever its blocks end', () => {
  const size = fc.oneof(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 3 * block }))
  const step = fc.record({ write: size, skipped: fc.nat(40), dropped: fc.double({ min: 0, max: 1, noNaN: true }) })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 24 }), (steps) => {
      const buffer = new SendBuffer()
      let [start, end] = [0, 0]
      for (const { write, skipped, dropped } of steps) {
        const chunk = bytesFrom(end - skipped + 251, write + skipped)
        buffer.append(chunk, skipped, chunk.length)
        end += write
        const held = end - start
        assert.equal(buffer.length, held)
        assertSame(read(buffer, 0, held), bytesFrom(start, held))
        const middle = Math.floor(held * dropped)
        const segment = Math.min(1_400, held - middle)
        assertSame(read(buffer, middle, segment), bytesFrom(start + middle, segment))
        buffer.drop(middle)
        start += middle
        assert.ok(buffer.capacity <= 2 * Math.max(256, end - start) + 2 * block, `${buffer.capacity} for ${end - start}`)
      }
      buffer.drop(end - start)
      assert.deepEqual([buffer.length, buffer.capacity], [0, 0])
    }),
    { numRuns: 100 },
  )
})

test('few bytes take little memory, however long they flow', () => {
  const buffer = new SendBuffer()
  buffer.append(bytesFrom(0, 64), 0, 64)
  for (let i = 64; i < 100_000; i += 64) {
    buffer.append(bytesFrom(i, 64), 0, 64)
    assertSame(read(buffer, 0, 128), bytesFrom(i - 64, 128))
    buffer.drop(64)
    assert.equal(buffer.capacity, 512)
  }
})

test('the memory of one transfer serves the next', () => {
  const chunk = bytesFrom(0, 64 * 1024)
  const transfer = () => {
    const buffer = new SendBuffer()
    for (let i = 0; i < 6; i++) buffer.append(chunk, 0, chunk.length)
    for (let i = 0; i < 100; i++) {
      buffer.drop(chunk.length)
      buffer.append(chunk, 0, chunk.length)
    }
    buffer.drop(buffer.length)
  }
  transfer()
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 10; i++) transfer()
  const grown = process.memoryUsage().arrayBuffers - before
  assert.ok(grown < 4 * block, `${grown} bytes more after ten transfers of 6.5 MB`)
})
