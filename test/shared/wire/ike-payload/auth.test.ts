import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { AuthMethod } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

const mac = '887cd5923e75ea2550e4f2dd44d0a836ed36749aa8a7f947ce6e418a85b5133b'

testForm('AUTH', {
  type: 39,
  body: `02 000000 ${mac}`,
  payload: { kind: 'auth', method: AuthMethod.SharedKey, data: fromHex(mac) },
  ignored: [1, 2, 3].map((offset) => [offset, 0xff]),
})

test('A-18 an empty proof is refused', () => {
  assert.equal(refusal(39, '02 000000'), 'ike-auth')
})
