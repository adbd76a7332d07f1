import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { PayloadType } from '#shared/wire/ike-numbers.ts'
import { decodePayloads, encodePayloads } from '#shared/wire/ike-payloads.ts'
import { chain, refusal } from './payload-form.ts'

const SKF = PayloadType.Skf

test('SKF: golden bytes both ways; only the first fragment names a payload', () => {
  for (const [number, first] of [
    [1, PayloadType.IdI],
    [2, 0],
  ] as const) {
    const bytes = chain(fromHex(`000${number}0003aabbccdd`), first)
    const payload = { kind: 'skf', first, number, total: 3, body: fromHex('aabbccdd') } as const
    assert.deepEqual(decodePayloads(SKF, bytes), [payload])
    assert.deepEqual(encodePayloads([payload]), { first: SKF, bytes })
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.throws(() => decodePayloads(SKF, bytes.slice(0, cut)), { name: 'WireError' })
    }
    assert.throws(() => decodePayloads(SKF, new Uint8Array([...bytes, 0])), { code: 'trailing' })
  }
})

test('A-20 fragment 0, one above the total, more than 16, and an empty one are refused', () => {
  assert.equal(refusal(SKF, '0000 0001 aa'), 'ike-fragment')
  assert.equal(refusal(SKF, '0000 0000 aa'), 'ike-fragment')
  assert.equal(refusal(SKF, '0003 0002 aa'), 'ike-fragment')
  assert.equal(refusal(SKF, '0001 0010 aa'), 'taken')
  assert.equal(refusal(SKF, '0001 0011 aa'), 'ike-fragment')
  assert.equal(refusal(SKF, '0001 ffff aa'), 'ike-fragment')
  assert.equal(refusal(SKF, '0001 0001'), 'ike-fragment')
  assert.equal(refusal(SKF, '0001 00'), 'short')
})

test('A-20 a fragment but the first that names a payload is refused', () => {
  assert.throws(() => decodePayloads(SKF, chain(fromHex('00020003aa'), PayloadType.IdI)), { code: 'ike-fragment' })
})
