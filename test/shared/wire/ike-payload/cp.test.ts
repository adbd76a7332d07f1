import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { CpAttribute, CpType } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

testForm('CP request', {
  type: 47,
  body: '01 000000 0001 0000 0003 0000 0008 0000',
  payload: {
    kind: 'cp',
    type: CpType.Request,
    attributes: [CpAttribute.InternalIp4Address, CpAttribute.InternalIp4Dns, CpAttribute.InternalIp6Address].map((type) => ({
      type,
      value: new Uint8Array(0),
    })),
  },
  // The highest bit of an attribute's type is reserved (RFC 7296 §3.15.1).
  ignored: [
    [1, 0xff],
    [2, 0xff],
    [3, 0xff],
    [4, 0x80],
    [8, 0x80],
  ],
})

const address6 = 'fd0000000000000000000000000000015c'.slice(0, 32)

testForm('CP reply', {
  type: 47,
  body: `02 000000 0001 0004 64400001 0008 0011 ${address6} 80 7000 0003 010203`,
  payload: {
    kind: 'cp',
    type: CpType.Reply,
    attributes: [
      { type: CpAttribute.InternalIp4Address, value: fromHex('64400001') },
      { type: CpAttribute.InternalIp6Address, value: fromHex(`${address6}80`) },
      { type: 0x7000, value: fromHex('010203') },
    ],
  },
})

test('A-19 an attribute that is longer than its payload, or than it can be, is refused', () => {
  assert.equal(refusal(47, '01 000000 0001 0004 644000'), 'short')
  assert.equal(refusal(47, '01 000000 0001'), 'short')
  assert.equal(refusal(47, '02 000000 0001 0005 6440000100'), 'ike-cp')
  assert.equal(refusal(47, `02 000000 0008 0012 ${'00'.repeat(18)}`), 'ike-cp')
  assert.equal(refusal(47, `02 000000 0008 0010 ${'00'.repeat(16)}`), 'taken', 'without a prefix length, as old peers write it')
  assert.equal(refusal(47, '02 000000 000d 0004 0a000000'), 'ike-cp')
})

test('A-18 at most 64 attributes', () => {
  assert.equal(refusal(47, `01000000${'00010000'.repeat(64)}`), 'taken')
  assert.equal(refusal(47, `01000000${'00010000'.repeat(65)}`), 'ike-cp')
})
