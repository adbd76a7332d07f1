import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { CertEncoding } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

testForm('CERT', {
  type: 37,
  body: '04 3003020101',
  payload: { kind: 'cert', encoding: CertEncoding.X509Signature, data: fromHex('3003020101') },
})

test('A-18 an empty certificate is refused', () => {
  assert.equal(refusal(37, '04'), 'ike-cert')
  assert.equal(refusal(37, ''), 'short')
})
