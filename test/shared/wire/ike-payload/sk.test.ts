import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { PayloadType } from '#shared/wire/ike-numbers.ts'
import { decodePayloads, encodePayloads } from '#shared/wire/ike-payloads.ts'
import { chain, refusal } from './payload-form.ts'

const body = fromHex('b27f4038b50325d6d77c94a806d6a6539c31d2c25fc7e705ca38d6da95175dcd1c')

test('SK: golden bytes both ways, the type of the first payload inside standing in its header', () => {
  const bytes = chain(body, PayloadType.Delete)
  const payload = { kind: 'sk', first: PayloadType.Delete, body } as const
  assert.deepEqual(decodePayloads(PayloadType.Sk, bytes), [payload])
  assert.deepEqual(encodePayloads([payload]), { first: PayloadType.Sk, bytes })
})

test('A-19 SK is the last: nothing stands behind it, and its own next payload is inside', () => {
  const bytes = chain(body, PayloadType.Notify)
  assert.throws(() => decodePayloads(PayloadType.Sk, new Uint8Array([...bytes, 0, 0, 0, 8, 0, 0, 0, 14])), { code: 'trailing' })
  for (let cut = 0; cut < bytes.length; cut++) {
    assert.throws(() => decodePayloads(PayloadType.Sk, bytes.slice(0, cut)), { name: 'WireError' })
  }
})

test('A-18 an empty SK is refused', () => {
  assert.equal(refusal(PayloadType.Sk, ''), 'ike-sk')
})
