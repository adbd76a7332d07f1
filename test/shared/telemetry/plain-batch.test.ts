import assert from 'node:assert/strict'
import test from 'node:test'
import { readPlainBatch } from '#shared/telemetry/plain-batch.ts'
import {
  BATCH_VERSION,
  type Batch,
  decodeAnyBatch,
  encodeBatch,
  MAX_BATCH_READINGS,
  MAX_UNIT_LENGTH,
  type Reading,
  type ReadingValue,
} from '#shared/telemetry/reading.ts'
import fc from '#test/lab/properties.ts'

const limits = { readings: MAX_BATCH_READINGS, unitLength: MAX_UNIT_LENGTH }
const read = (bytes: Uint8Array): Batch | undefined => readPlainBatch(bytes, BATCH_VERSION, limits)

const plainValue: fc.Arbitrary<ReadingValue> = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.integer({ min: -30, max: 30 }),
  fc.boolean(),
  fc.constant(null),
  fc.string({ unit: 'grapheme-ascii' }),
)
const otherValue: fc.Arbitrary<ReadingValue> = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array(),
  fc.array(fc.integer()),
  fc.dictionary(fc.string(), fc.integer()),
)

const batchOf = (value: fc.Arbitrary<ReadingValue>): fc.Arbitrary<Batch> =>
  fc
    .record({
      boot: fc.integer({ min: 1, max: 2 ** 40 }),
      first: fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 1, max: 2 ** 50 })),
      rows: fc.array(
        fc.record({
          name: fc.constantFrom('system/load', 'a', 'sensors/door', 'b.c:d-e_f', 'boiler/t1'),
          value,
          unit: fc.constantFrom(null, 'C', '%', 'm/s'),
          at: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 2 ** 52 })),
          quality: fc.nat(3),
        }),
        { maxLength: 12 },
      ),
    })
    .map(({ boot, first, rows }) => ({ boot, readings: rows.map((row, n): Reading => ({ seq: first + n, ...row })) }))

test('plain batches are read in one pass, as the other decoder reads them', () => {
  fc.assert(
    fc.property(batchOf(plainValue), (batch) => {
      const bytes = encodeBatch(batch.boot, batch.readings)
      assert.deepEqual(read(bytes), decodeAnyBatch(bytes))
    }),
    { numRuns: 500 },
  )
})

test('A-62 whatever it takes of changed bytes, the other decoder takes too and reads the same', () => {
  let taken = 0
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(batchOf(fc.oneof(plainValue, otherValue)), changes, fc.nat(), (batch, places, cut) => {
      const bytes = Uint8Array.from(encodeBatch(batch.boot, batch.readings))
      for (const [place, byte] of places) bytes[place % bytes.length] = byte
      for (const candidate of [bytes, bytes.subarray(0, cut % (bytes.length + 1)), Uint8Array.of(...bytes, 0)]) {
        const quick = read(candidate)
        if (quick === undefined) continue
        taken++
        assert.deepEqual(quick, decodeAnyBatch(candidate))
      }
    }),
    { numRuns: 3_000 },
  )
  assert.ok(taken > 100, `${taken} changed batches were taken`)
})

test('what is not plain is left to the other decoder', () => {
  const reading = { seq: 1, name: 'a', value: 1, unit: null, at: 0, quality: 0 }
  for (const value of ['°C', Uint8Array.of(1), [1], { a: 1 }]) {
    assert.equal(read(encodeBatch(1, [{ ...reading, value }])), undefined)
  }
  assert.equal(read(encodeBatch(1, [{ ...reading, unit: '°C' }])), undefined)
  assert.equal(read(encodeBatch(1, [{ ...reading, name: 'no name' }])), undefined)
  assert.equal(read(encodeBatch(1, [reading, reading])), undefined)
  assert.equal(read(new Uint8Array(0)), undefined)
})
