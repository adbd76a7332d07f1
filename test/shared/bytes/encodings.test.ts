import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, fromBase64url, toBase64, toBase64url } from '#shared/bytes/base64.ts'
import { concat } from '#shared/bytes/concat.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import fc from '#test/lab/properties.ts'

const bytes = fc.uint8Array({ maxLength: 100 })

test('hex, base64 and base64url give back what they were given', () => {
  fc.assert(
    fc.property(bytes, (input) => {
      assert.deepEqual(fromHex(toHex(input)), input)
      assert.deepEqual(fromBase64(toBase64(input)), input)
      assert.deepEqual(fromBase64url(toBase64url(input)), input)
    }),
  )
})

test('each refuses what another decoder might guess at', () => {
  for (const text of ['0', '0g', ' 00', '0x00']) assert.throws(() => fromHex(text), RangeError, text)
  for (const text of ['AA', 'AA= =', 'AB==', 'A_==', 'AA==\n', '=', 'AAAA='])
    assert.throws(() => fromBase64(text), RangeError, text)
  for (const text of ['AA==', 'AB', 'A+', 'A', 'AA\n']) assert.throws(() => fromBase64url(text), RangeError, text)
  assert.deepEqual(fromHex('aBCd'), Uint8Array.of(0xab, 0xcd))
})

test('concat is one fresh run of all parts', () => {
  const part = Uint8Array.of(1)
  const all = concat(part, new Uint8Array(0), Uint8Array.of(2, 3))
  part[0] = 9
  assert.deepEqual(all, Uint8Array.of(1, 2, 3))
  assert.deepEqual(concat(), new Uint8Array(0))
})
