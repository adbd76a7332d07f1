import assert from 'node:assert/strict'
import test from 'node:test'
import { PayloadError, parsePayload } from '#agent/core/reading-payload.ts'
import { encodeCbor } from '#shared/telemetry/cbor.ts'
import fc from '#test/lab/properties.ts'

const stamp = { at: 1000, quality: 0 }
const text = (payload: string) => parsePayload('t', Buffer.from(payload), stamp)
const values = (payload: string) => text(payload).map(({ value }) => value)

test('numbers as text, as people print them', () => {
  assert.deepEqual(values('21.5'), [21.5])
  assert.deepEqual(values(' -3\n'), [-3])
  assert.deepEqual(values('+3.'), [3])
  assert.deepEqual(values('.5'), [0.5])
  assert.deepEqual(values('007'), [7])
  assert.deepEqual(values('1e3'), [1000])
})

test('JSON: a value, a reading, an array, an object', () => {
  assert.deepEqual(values('"open"'), ['open'])
  assert.deepEqual(values('true'), [true])
  assert.deepEqual(values('[1, {"value": 2}]'), [1, 2])
  const [reading] = text('{"value": 7, "unit": "bar", "at": "2026-11-22T00:00:00Z"}')
  assert.deepEqual(reading, { name: 't', value: 7, unit: 'bar', at: Date.parse('2026-11-22T00:00:00Z'), quality: 0 })
  assert.equal(text('{"name": "left", "value": 1}')[0]!.name, 't/left')
  assert.equal(JSON.stringify(values('{"x": 1, "y": [2]}')), '[{"x":1,"y":[2]}]')
})

test('CBOR: the same', () => {
  const cbor = (value: unknown) => parsePayload('t', encodeCbor(value as never), stamp).map((sample) => sample.value)
  assert.deepEqual(cbor(21.5), [21.5])
  assert.deepEqual(cbor({ value: 3, unit: 'K' }), [3])
  assert.deepEqual(cbor([1, 2, { value: 3 }]), [1, 2, 3])
  assert.deepEqual(cbor('open'), ['open'])
})

test('what is no reading is a PayloadError, whole', () => {
  const bad = [
    '',
    'garbage',
    '{',
    '[1, {"value": {}, "unit": 5}]',
    '{"value":1,"name":"a b"}',
    '{"value":1,"at":"yesterday"}',
    '{"value":1,"at":-5}',
  ]
  for (const payload of bad) assert.throws(() => text(payload), PayloadError, payload)
  assert.throws(() => parsePayload('a/../\u001b[2J', Buffer.from('1'), stamp), PayloadError)
  assert.throws(() => parsePayload('system/load', Buffer.from('1'), stamp), PayloadError)
  assert.throws(() => text(`"${'x'.repeat(5000)}"`), PayloadError)
  assert.throws(() => text(JSON.stringify(new Array(2001).fill(1))), PayloadError)
  assert.throws(() => text('[[[[[[[[[[[[[[1]]]]]]]]]]]]]]'), PayloadError)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        parsePayload('t', bytes, stamp)
      } catch (error) {
        assert.ok(error instanceof PayloadError, String(error))
      }
    }),
  )
})
