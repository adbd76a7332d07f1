import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'

const message = (): Uint8Array => {
  const out = new Uint8Array(64)
  const writer = new Writer(out)
  writer.u8(0x12).u16(0x3456).u24(0x789abc).u32(0xdef01234).u64(0xffff_ffff_ffff_fffen)
  writer
    .u32le(0xdef01234)
    .u64le(2n ** 53n + 1n)
    .bytes(Uint8Array.of(7, 8))
    .zeros(2)
  return writer.written().slice()
}

test('what the writer writes, the reader reads', () => {
  const reader = new Reader(message())
  assert.equal(reader.u8(), 0x12)
  assert.equal(reader.u16(), 0x3456)
  assert.equal(reader.u24(), 0x789abc)
  assert.equal(reader.u32(), 0xdef01234)
  assert.equal(reader.u64(), 0xffff_ffff_ffff_fffen)
  assert.equal(reader.u32le(), 0xdef01234)
  assert.equal(reader.u64le(), 2n ** 53n + 1n)
  assert.deepEqual(reader.bytes(2), Uint8Array.of(7, 8))
  assert.equal(reader.left, 2)
  assert.throws(() => reader.end(), { name: 'WireError', code: 'trailing' })
  assert.deepEqual(reader.rest(), new Uint8Array(2))
  reader.end()
})

test('cut at every length, a read throws and never gives a short value', () => {
  const whole = message()
  for (let length = 0; length < whole.length; length++) {
    const reader = new Reader(whole.subarray(0, length))
    assert.throws(
      () => {
        reader.u8()
        reader.u16()
        reader.u24()
        reader.u32()
        reader.u64()
        reader.u32le()
        reader.u64le()
        reader.view(2)
        reader.skip(2)
      },
      { name: 'WireError', code: 'short' },
    )
  }
  assert.throws(() => new Reader(new Uint8Array(4)).view(-1), { code: 'short' })
  assert.throws(() => new Reader(new Uint8Array(4)).view(Number.NaN), { code: 'short' })
})

test('views borrow, bytes own; an offset view is read at its own offset', () => {
  const memory = Uint8Array.of(9, 1, 2, 3)
  const reader = new Reader(memory.subarray(1))
  const view = reader.view(1)
  const own = reader.bytes(1)
  memory.fill(0)
  assert.equal(view[0], 0)
  assert.equal(own[0], 2)
})

test('a writer that runs past the end is a defect, and writes nothing there', () => {
  const out = new Uint8Array(3)
  const writer = new Writer(out, 1)
  assert.throws(() => writer.u32(0xffffffff), RangeError)
  assert.throws(() => writer.bytes(new Uint8Array(3)), RangeError)
  assert.deepEqual(out, new Uint8Array(3))
  assert.equal(writer.at, 1)
})
