import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { refusal, testForm } from './payload-form.ts'

const nonce = 'b6597a5ad6fdfd4a9ab0c026d302494f1801299526c588e245ac7f9da043f682'

testForm('Nonce', { type: 40, body: nonce, payload: { kind: 'nonce', nonce: fromHex(nonce) } })

test('A-18 a nonce has 16 to 256 bytes', () => {
  for (const length of [0, 1, 15, 257, 4096]) assert.equal(refusal(40, '00'.repeat(length)), 'ike-nonce', `${length}`)
  for (const length of [16, 256]) assert.equal(refusal(40, '00'.repeat(length)), 'taken', `${length}`)
})
