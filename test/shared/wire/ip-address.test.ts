import assert from 'node:assert/strict'
import test from 'node:test'
import { contains, formatAddress, formatCidr, parseAddress, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'
import fc from '#test/lab/properties.ts'

test('text of RFC 5952 is canonical', () => {
  const table: readonly [written: string, canonical: string][] = [
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8::0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['100.64.0.1', '100.64.0.1'],
  ]
  for (const [written, canonical] of table) assert.equal(formatAddress(parseAddress(written)), canonical)
})

test('what is no address is refused', () => {
  const wrong = [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7::8',
    '12345::',
    '1.2.3',
    '1.2.3.4.5',
    '010.0.0.1',
    '256.0.0.1',
    '1.2.3.4::',
    'fe80::1%eth0',
    ' ::1',
    '::1 ',
    '::g',
  ]
  for (const text of wrong) {
    assert.equal(tryParseAddress(text), undefined, text)
    assert.throws(() => parseAddress(text), RangeError)
  }
})

test('every address survives being written and read', () => {
  const bytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  fc.assert(fc.property(bytes, (address) => assert.deepEqual(parseAddress(formatAddress(address)), Uint8Array.from(address))))
})

test('text never throws anything but RangeError', () => {
  fc.assert(fc.property(fc.string(), (text) => void tryParseAddress(text)))
})

test('a network contains what shares its prefix', () => {
  assert.ok(contains(parseCidr('100.64.0.0/10'), parseAddress('100.127.255.255')))
  assert.ok(!contains(parseCidr('100.64.0.0/10'), parseAddress('100.128.0.0')))
  assert.ok(contains(parseCidr('::/0'), parseAddress('fd00::1')))
  assert.ok(!contains(parseCidr('0.0.0.0/0'), parseAddress('::')))
  assert.ok(contains(parseCidr('fd00::1'), parseAddress('fd00::1')))
  assert.equal(formatCidr(parseCidr('fd00::1/48')), 'fd00::1/48')
  for (const text of ['1.2.3.4/33', '::/129', '::/', '::/01', '::/-1', '::/1.5', '1.2.3.4/a'])
    assert.throws(() => parseCidr(text))
})
