import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import { decodeCertsOnly, encodeCertsOnly } from '#shared/pki/certs-only.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/** Not certificates, but what a certificate is to this format: one DER SEQUENCE. */
const parts = [Uint8Array.of(0x30, 1, 5), Uint8Array.of(0x30, 3, 1, 2, 3), Uint8Array.of(0x30, 0)]

test('what goes in comes out in its order', () => {
  assert.deepEqual(decodeCertsOnly(encodeCertsOnly(parts)), parts)
})

test('cut at every length, or with any byte after it, a message is refused with a typed error', () => {
  const message = encodeCertsOnly(parts)
  for (let length = 0; length < message.length; length++)
    assert.throws(() => decodeCertsOnly(message.subarray(0, length)), PkiError, `cut at ${length}`)
  assert.throws(() => decodeCertsOnly(Uint8Array.of(...message, 0)), PkiError)
  assert.throws(() => decodeCertsOnly(encodeCertsOnly([])), PkiError)
  assert.throws(() => decodeCertsOnly(encodeCertsOnly(Array.from({ length: 65 }, () => parts[0]!))), { code: 'too-large' })
})

test('openssl reads it', (t) => {
  try {
    // It ends with a failure where it cannot parse.
    execFileSync('openssl', ['pkcs7', '-inform', 'DER', '-noout'], { input: encodeCertsOnly([]) })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    t.skip('no openssl here')
  }
})
