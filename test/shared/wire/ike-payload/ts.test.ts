import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { decodeTs } from '#shared/wire/ike-payload/ts.ts'
import { refusal, testForm } from './payload-form.ts'

const reserved = [1, 2, 3].map((offset) => [offset, 0xff] as const)
const v4 = '07 00 0010 0000 ffff c0a80100 c0a801ff'

testForm('TSi', {
  type: 44,
  body: `02 000000 ${v4} 08 11 0028 0035 0035 fd000000000000000000000000000000 fd0000000000ffffffffffffffffffff`,
  payload: {
    kind: 'ts-i',
    selectors: [
      { protocol: 0, startPort: 0, endPort: 65_535, start: fromHex('c0a80100'), end: fromHex('c0a801ff') },
      {
        protocol: 17,
        startPort: 53,
        endPort: 53,
        start: fromHex('fd000000000000000000000000000000'),
        end: fromHex('fd0000000000ffffffffffffffffffff'),
      },
    ],
  },
  ignored: reserved,
})

testForm('TSr of opaque ports', {
  type: 45,
  body: '01 000000 07 06 0010 ffff 0000 0a000001 0a000001',
  payload: {
    kind: 'ts-r',
    selectors: [{ protocol: 6, startPort: 65_535, endPort: 0, start: fromHex('0a000001'), end: fromHex('0a000001') }],
  },
  ignored: reserved,
})

test('A-18 no selector, and a count that is not theirs, are refused', () => {
  assert.equal(refusal(44, '00 000000'), 'ike-ts')
  assert.equal(refusal(44, `02 000000 ${v4}`), 'short')
  assert.equal(refusal(44, `01 000000 ${v4} ${v4}`), 'trailing')
})

test('A-19 a selector whose length is not that of its type is refused', () => {
  assert.equal(refusal(44, '01 000000 07 00 0000 0000 ffff c0a80100 c0a801ff'), 'ike-ts')
  assert.equal(refusal(44, '01 000000 07 00 0003 0000 ffff c0a80100 c0a801ff'), 'ike-ts')
  assert.equal(refusal(44, '01 000000 07 00 000c 0000 ffff c0a80100 c0a801ff'), 'short')
  assert.equal(refusal(44, '01 000000 07 00 0011 0000 ffff c0a80100 c0a801ff 00'), 'trailing')
  assert.equal(refusal(44, '01 000000 08 00 0010 0000 ffff c0a80100 c0a801ff'), 'short')
})

test('a range that ends before it starts is refused', () => {
  assert.equal(refusal(44, '01 000000 07 00 0010 0000 ffff c0a801ff c0a80100'), 'ike-ts')
  assert.equal(refusal(44, '01 000000 07 06 0010 0051 0050 c0a80100 c0a80100'), 'ike-ts')
})

test('a selector of a type that is not ours is left out', () => {
  const body = fromHex(`02 000000 0a 00 0008 01020304 ${v4}`.replaceAll(' ', ''))
  assert.equal(decodeTs('ts-i', body).selectors.length, 1)
  assert.deepEqual(decodeTs('ts-r', fromHex('010000000a00000801020304')).selectors, [])
})
