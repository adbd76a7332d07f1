import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { KeyExchangeMethod } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

const key = '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'

testForm('KE', {
  type: 34,
  body: `001f 0000 ${key}`,
  payload: { kind: 'ke', group: KeyExchangeMethod.Curve25519, data: fromHex(key) },
  ignored: [
    [2, 0xff],
    [3, 0xff],
  ],
})

test('A-18 a key exchange without a public value is refused', () => {
  assert.equal(refusal(34, '001f 0000'), 'ike-ke')
})
