import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import fc from '#test/lab/properties.ts'

const integer = fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 })

test('P-14 numbers are written and read as a DataView does, wherever they stand', () => {
  fc.assert(
    fc.property(fc.nat(20), integer, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (at, value, long) => {
      const written = new Uint8Array(at + 34)
      const writer = new Writer(written, at).u8(value).u16(value).u24(value).u32(value).u64(long).u32le(value).u64le(long)
      assert.equal(writer.at, at + 30)
      const expected = new Uint8Array(at + 34)
      const view = new DataView(expected.buffer, at)
      view.setUint8(0, value)
      view.setUint16(1, value)
      view.setUint16(3, value >>> 8)
      view.setUint8(5, value)
      view.setUint32(6, value)
      view.setBigUint64(10, long)
      view.setUint32(18, value, true)
      view.setBigUint64(22, long, true)
      assert.deepEqual(written, expected)
      const reader = new Reader(written.subarray(at))
      assert.equal(reader.u8(), view.getUint8(0))
      assert.equal(reader.u16(), view.getUint16(1))
      assert.equal(reader.u24(), view.getUint32(2) & 0xff_ffff)
      assert.equal(reader.u32(), view.getUint32(6))
      assert.equal(reader.u64(), view.getBigUint64(10))
      assert.equal(reader.u32le(), view.getUint32(18, true))
      assert.equal(reader.u64le(), view.getBigUint64(22, true))
    }),
    { numRuns: 300 },
  )
})

test('what does not fit is not written, not by half either', () => {
  for (const write of [
    (writer: Writer) => writer.u8(1),
    (writer: Writer) => writer.u16(1),
    (writer: Writer) => writer.u24(1),
    (writer: Writer) => writer.u32(1),
    (writer: Writer) => writer.u64(-1n),
    (writer: Writer) => writer.u32le(1),
    (writer: Writer) => writer.u64le(-1n),
  ]) {
    const room = new Uint8Array(7)
    const writer = new Writer(room, 7)
    assert.throws(() => write(writer), RangeError)
    assert.equal(writer.at, 7)
  }
  const room = new Uint8Array(7)
  assert.throws(() => new Writer(room).u64(-1n), RangeError)
  assert.throws(() => new Writer(room).u64le(-1n), RangeError)
  assert.deepEqual(room, new Uint8Array(7))
})
