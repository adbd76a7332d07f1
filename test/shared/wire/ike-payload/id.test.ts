import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { IdType } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

const reserved = [1, 2, 3].map((offset) => [offset, 0xff] as const)

testForm('IDi', {
  type: 35,
  body: '02 000000 70756d702e6578616d706c65',
  payload: { kind: 'id-i', type: IdType.Fqdn, data: new TextEncoder().encode('pump.example') },
  ignored: reserved,
})

testForm('IDr', {
  type: 36,
  body: '01 000000 c0a8010e',
  payload: { kind: 'id-r', type: IdType.Ipv4, data: fromHex('c0a8010e') },
  ignored: reserved,
})

test('A-18 an identity is as long as its type has it, and never empty', () => {
  for (const type of [35, 36]) {
    for (const body of ['01000000', '01000000c0a801', '01000000c0a8010e00', '05000000c0a8010e']) {
      assert.equal(refusal(type, body), 'ike-id', body)
    }
    for (const named of ['02', '03', '09', '0a', '0b']) assert.equal(refusal(type, `${named}000000`), 'ike-id', named)
    assert.equal(refusal(type, `05 000000 ${'00'.repeat(16)}`), 'taken')
    assert.equal(refusal(type, '0d 000000'), 'taken', 'ID_NULL (RFC 7619) is empty; who negotiates refuses it')
  }
})
