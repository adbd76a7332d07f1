import assert from 'node:assert/strict'
import test from 'node:test'
import { encodeCbor } from '#shared/telemetry/cbor.ts'
import { BatchError, decodeBatch, encodeBatch, MAX_BATCH_READINGS, type Reading } from '#shared/telemetry/reading.ts'
import fc from '#test/lab/properties.ts'

const reading = (seq: number, change: Partial<Reading> = {}): Reading => ({
  seq,
  name: 'boiler/t1',
  value: 71.5,
  unit: '°C',
  at: 1_780_000_000_000,
  quality: 0,
  ...change,
})

const codeOf = (bytes: Uint8Array): string => {
  try {
    decodeBatch(bytes)
  } catch (error) {
    if (error instanceof BatchError) return error.code
    throw error
  }
  return 'taken'
}

test('a batch comes back as it went', () => {
  const readings = [
    reading(1),
    reading(2, { value: { a: [1, 'x', null, true] }, unit: null }),
    reading(9, { value: Uint8Array.of(1, 2) }),
  ]
  const { boot, readings: back } = decodeBatch(encodeBatch(7, readings))
  assert.equal(boot, 7)
  assert.equal(JSON.stringify(back), JSON.stringify(readings))
})

test('any readings survive', () => {
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      // CBOR keeps no sign of a zero that is written as an integer.
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      tie('list'),
    ),
    list: fc.array(tie('value'), { maxLength: 4 }),
  })).value
  fc.assert(
    fc.property(fc.array(value, { maxLength: 20 }), fc.integer({ min: 1 }), (values, boot) => {
      const readings = values.map((v, i) => reading(i + 1, { value: v as Reading['value'] }))
      assert.deepEqual(decodeBatch(encodeBatch(boot, readings)), { boot, readings })
    }),
  )
})

test('the largest batch is within the decoder’s budget', () => {
  const readings = Array.from({ length: MAX_BATCH_READINGS }, (_, i) => reading(i + 1))
  assert.equal(decodeBatch(encodeBatch(1, readings)).readings.length, MAX_BATCH_READINGS)
  assert.throws(() => encodeBatch(1, [...readings, reading(9999)]), BatchError)
})

test('A-62 malformed batches are refused with the rule that they break', () => {
  const row = [1, 't', 1, null, 0, 0]
  const batch = (...parts: unknown[]): Uint8Array => encodeCbor(parts as never)
  assert.equal(codeOf(batch(1, 1, [row])), 'taken')
  assert.equal(codeOf(batch(2, 1, [row])), 'version')
  assert.equal(codeOf(batch(1, 0, [row])), 'shape')
  assert.equal(codeOf(batch(1, 1, [row], 1)), 'shape')
  assert.equal(codeOf(batch(1, 1, [row, row])), 'order')
  assert.equal(codeOf(batch(1, 1, [[1, 'a\u001b', 1, null, 0, 0]])), 'name')
  assert.equal(codeOf(batch(1, 1, [[1, 't', 1, 'u'.repeat(40), 0, 0]])), 'value')
  assert.equal(codeOf(batch(1, 1, [[1, 't', 1, null, -1, 0]])), 'shape')
  assert.equal(codeOf(batch(1, 1, [row.slice(1)])), 'shape')
  assert.equal(codeOf(Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff)), 'cbor')
  assert.equal(codeOf(new Uint8Array(100_000).fill(0x81)), 'limit')
  assert.equal(codeOf(new Uint8Array(1000).fill(0x81)), 'cbor')
})

test('cut anywhere, a batch is refused, and never with anything but a BatchError', () => {
  const whole = encodeBatch(3, [reading(1), reading(2)])
  for (let length = 0; length < whole.length; length++) assert.notEqual(codeOf(whole.subarray(0, length)), 'taken')
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void codeOf(bytes)))
})
