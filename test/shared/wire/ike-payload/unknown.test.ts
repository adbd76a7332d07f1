import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { CriticalPayloadError, decodePayloads, encodePayloads } from '#shared/wire/ike-payloads.ts'
import { testForm } from './payload-form.ts'

testForm('a payload of a type that is not ours', {
  type: 200,
  body: '010203',
  payload: { kind: 'unknown', type: 200, critical: false, data: fromHex('010203') },
})

test('A-19 a critical one is refused by its type, of every type that is not ours', () => {
  const ours = [33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 53]
  for (let type = 1; type < 256; type++) {
    if (ours.includes(type)) continue
    assert.throws(
      () => decodePayloads(type, fromHex('00800004')),
      (error) => error instanceof CriticalPayloadError && error.payloadType === type && error.code === 'ike-critical',
    )
  }
})

test('the critical bit of a known type says nothing', () => {
  assert.deepEqual(decodePayloads(43, fromHex('0080000501')), [{ kind: 'vendor-id', id: fromHex('01') }])
})

test('a critical payload is written as one, to test others with', () => {
  const { bytes } = encodePayloads([{ kind: 'unknown', type: 201, critical: true, data: new Uint8Array(0) }])
  assert.deepEqual(bytes, fromHex('00800004'))
})
