import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { CertEncoding } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

const hashes = '0102030405060708090a0b0c0d0e0f1011121314'.repeat(2)

testForm('CERTREQ', {
  type: 38,
  body: `04 ${hashes}`,
  payload: { kind: 'cert-req', encoding: CertEncoding.X509Signature, data: fromHex(hashes) },
})

testForm('CERTREQ that names no authority', {
  type: 38,
  body: '04',
  payload: { kind: 'cert-req', encoding: CertEncoding.X509Signature, data: new Uint8Array(0) },
})

test('A-19 a list of hashes with a part of one is refused, of an encoding without hashes not', () => {
  for (const encoding of ['04', '0c', '0d']) assert.equal(refusal(38, encoding + '00'.repeat(19)), 'ike-cert-req')
  assert.equal(refusal(38, `09 ${'00'.repeat(19)}`), 'taken')
})
