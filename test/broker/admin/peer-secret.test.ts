import assert from 'node:assert/strict'
import test from 'node:test'
import { makeSecret } from '#broker/admin/ipsec/peer-secret.ts'
import { nativeSuite } from '#shared/crypto/native.ts'

test('no secret that we make announces a number to strongSwan or libreswan, and IKE computes with its characters', () => {
  const start = (text: string): Uint8Array => {
    const bytes = nativeSuite.random(32)
    bytes.set(Buffer.from(text, 'base64url'))
    return bytes
  }
  const given = ['0sAA', '0xAA', '0tAA', '-AAA', '_AAA', '9AAA', 'kAAA'].map(start)
  const { text, bytes } = makeSecret({ random: () => given.shift()! })
  assert.match(text, /^kAAA[\w-]{39}$/)
  assert.deepEqual([Buffer.from(bytes).toString('latin1'), given.length], [text, 0])
})

test('two secrets that we make are not the same', () => {
  assert.notEqual(makeSecret(nativeSuite).text, makeSecret(nativeSuite).text)
})
