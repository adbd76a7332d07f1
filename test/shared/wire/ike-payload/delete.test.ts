import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

testForm('Delete of the IKE SA', {
  type: 42,
  body: '01 00 0000',
  payload: { kind: 'delete', protocol: ProtocolId.Ike, spis: [] },
})

testForm('Delete of two Child SAs', {
  type: 42,
  body: '03 04 0002 c0000001 c0000002',
  payload: { kind: 'delete', protocol: ProtocolId.Esp, spis: [fromHex('c0000001'), fromHex('c0000002')] },
})

test('A-19 a count of SPIs that is not that of the bytes is refused', () => {
  assert.equal(refusal(42, '03 04 0001'), 'short')
  assert.equal(refusal(42, '03 04 0003 c0000001 c0000002'), 'short')
  assert.equal(refusal(42, '03 04 0001 c0000001 c0000002'), 'trailing')
  assert.equal(refusal(42, '03 04 ffff c0000001'), 'ike-delete')
})

test('A-18 SPIs of another size, of an IKE SA, or of no protocol, are refused', () => {
  assert.equal(refusal(42, '03 00 ffff'), 'ike-delete')
  assert.equal(refusal(42, '03 08 0001 0102030405060708'), 'ike-delete')
  assert.equal(refusal(42, '01 08 0001 0102030405060708'), 'ike-delete')
  assert.equal(refusal(42, '01 00 ffff'), 'ike-delete')
  assert.equal(refusal(42, '00 00 0000'), 'ike-delete')
  assert.equal(refusal(42, '07 04 0001 c0000001'), 'ike-delete')
})

test('A-18 at most 256 SPIs are deleted at once', () => {
  assert.equal(refusal(42, `03 04 0100 ${'c0000001'.repeat(256)}`), 'taken')
  assert.equal(refusal(42, `03 04 0101 ${'c0000001'.repeat(257)}`), 'ike-delete')
})
