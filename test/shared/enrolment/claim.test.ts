import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { type Claim, decodeClaim, encodeClaim } from '#shared/enrolment/claim.ts'
import { AditError } from '#shared/errors.ts'
import fc from '#test/lab/properties.ts'

const claim: Claim = {
  api: ['https://broker.example.com:8443', 'https://[2001:db8::1]:8443'],
  ca: suite.hash('sha256', Buffer.from('root')),
  id: Uint8Array.from({ length: 8 }, (_, i) => i),
  secret: Uint8Array.from({ length: 16 }, (_, i) => 255 - i),
  role: 'device',
}
const token = encodeClaim(claim, suite)

const isMalformed = (error: unknown): boolean => {
  assert.ok(error instanceof AditError && error.code === 'claim-malformed', String(error))
  assert.ok(!`${error.message} ${error.mend}`.includes(token.slice(10, 30)), 'a token is never shown')
  return true
}

test('a claim goes through its token, with blanks around it', () => {
  assert.deepEqual(decodeClaim(token, suite), claim)
  assert.deepEqual(decodeClaim(`  ${token}\n`, suite), claim)
  assert.match(token, /^adit1-[A-Za-z0-9_-]+$/)
})

test('any claim goes through its token', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
  const url = fc.webAuthority({ withPort: true }).map((authority) => `https://${authority}`)
  fc.assert(
    fc.property(fc.array(url, { minLength: 1, maxLength: 8 }), bytes(32), bytes(8), bytes(16), (api, ca, id, secret) => {
      const any: Claim = { api, ca, id, secret, role: 'operator' }
      assert.deepEqual(decodeClaim(encodeClaim(any, suite), suite), any)
    }),
    { seed: 7, numRuns: 50 },
  )
})

test('F-08 literal addresses travel beside the names', () => {
  const withAddresses: Claim = { ...claim, addresses: ['203.0.113.7', '2001:db8::7'] }
  assert.deepEqual(decodeClaim(encodeClaim(withAddresses, suite), suite), withAddresses)
})

test('every mistyped character and every cut is noticed', () => {
  for (let i = 0; i < token.length; i++) {
    const other = token[i] === 'A' ? 'B' : 'A'
    assert.throws(() => decodeClaim(token.slice(0, i) + other + token.slice(i + 1), suite), isMalformed, `at ${i}`)
    assert.throws(() => decodeClaim(token.slice(0, i), suite), isMalformed)
  }
  for (const bad of ['', 'adit1-', 'adit2-abcd', `${token}A`, `${token} x`, 'x'.repeat(10_000), `adit1-${'A'.repeat(10_000)}`]) {
    assert.throws(() => decodeClaim(bad, suite), isMalformed)
  }
})

test('tokens with wrong content are refused though their checksum fits', () => {
  const wrong: object[] = [
    { ...claim, api: [] },
    { ...claim, api: ['http://broker.example.com'] },
    { ...claim, api: ['https://user:pass@broker.example.com'] },
    { ...claim, api: ['not a url'] },
    { ...claim, api: Array(9).fill('https://a') },
    { ...claim, ca: new Uint8Array(31) },
    { ...claim, id: new Uint8Array(9) },
    { ...claim, secret: new Uint8Array(0) },
    { ...claim, role: 'api' },
    { ...claim, addresses: ['broker.example.com'] },
    { ...claim, addresses: Array(9).fill('192.0.2.1') },
    { ...claim, addresses: '192.0.2.1' },
  ]
  for (const content of wrong) assert.throws(() => decodeClaim(encodeClaim(content as Claim, suite), suite), isMalformed)
})

test('the fleet key travels in the claim; one of another length does not', () => {
  const withKey: Claim = { ...claim, fleetKey: new Uint8Array(32).fill(9) }
  assert.deepEqual(decodeClaim(encodeClaim(withKey, suite), suite), withKey)
  const wrong = encodeClaim({ ...claim, fleetKey: new Uint8Array(31) }, suite)
  assert.throws(() => decodeClaim(wrong, suite), isMalformed)
})
