import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import type { SaPayload } from '#shared/wire/ike-payload/payload.ts'
import { decodeSa, encodeSa, lengthOfSa } from '#shared/wire/ike-payload/sa.ts'

test('an attribute that is not known marks its transform and is not written again', () => {
  const marked = (attributes: string): SaPayload['proposals'][number]['transforms'] => {
    const size = 8 + attributes.length / 2
    const body = `000000${(8 + size).toString(16)}01010001000000${size.toString(16).padStart(2, '0')}0100000c${attributes}`
    return decodeSa(fromHex(body)).proposals[0]!.transforms
  }
  assert.deepEqual(marked('800e0000'), [{ type: 1, id: 12, keyLength: 0 }])
  assert.deepEqual(marked('80110001'), [{ type: 1, id: 12, unknownAttribute: true }])
  assert.deepEqual(marked('00110003aabbcc800e0080'), [{ type: 1, id: 12, keyLength: 128, unknownAttribute: true }])
  assert.deepEqual(marked('000e00020080'), [{ type: 1, id: 12, unknownAttribute: true }], 'a key length in the long format')
  assert.throws(() => marked('800e0080800e0100'), { code: 'ike-transform' })
  assert.throws(() => marked('00110003aabb'), { code: 'short' })
  const unknown: SaPayload = {
    kind: 'sa',
    proposals: [{ number: 1, protocol: 1, spi: new Uint8Array(0), transforms: [{ type: 1, id: 12, unknownAttribute: true }] }],
  }
  assert.throws(() => encodeSa(unknown, new Uint8Array(lengthOfSa(unknown))), RangeError)
})
