import assert from 'node:assert/strict'
import test from 'node:test'
import { makeIssuingCa, makeRoot } from '#broker/identity/ca-certificates.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { crlReadLimit, isListOf, parseCrl } from '#shared/pki/crl-reader.ts'
import { writeCrl } from '#shared/pki/crl-writer.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { wallTime } from '#shared/time/instant.ts'

const now = wallTime(Date.UTC(2030, 0, 1))
const ca = makeRoot(now, suite)
const entries = [
  { serial: Uint8Array.of(0x41, 2), revokedAt: now, reason: 'ca-compromise' as const },
  { serial: Uint8Array.of(5), revokedAt: now },
]
const times = { thisUpdate: now, nextUpdate: wallTime(Date.UTC(2051, 0, 1)) }
const written = writeCrl({ issuer: ca.certificate, number: 2 ** 48 + 1, ...times, entries }, ca.pair, suite)
const isRefused = (error: unknown): boolean => error instanceof PkiError

test('what is written is read, and is of its own CA alone', () => {
  const list = parseCrl(written)
  assert.deepEqual([...list.revoked].sort(), ['05', '4102'])
  assert.deepEqual([list.number, list.thisUpdate, list.nextUpdate], [2 ** 48 + 1, times.thisUpdate, times.nextUpdate])
  assert.ok(list.authorityKeyId)
  assert.ok(isListOf(list, ca.certificate))
  assert.equal(isListOf(list, makeIssuingCa('device', ca, now, suite).certificate), false)
  const other = makeRoot(now, suite)
  assert.equal(isListOf(list, { ...other.certificate, subjectKey: ca.certificate.subjectKey }), false)
  const empty = parseCrl(writeCrl({ issuer: ca.certificate, number: 1, ...times, entries: [] }, ca.pair, suite))
  assert.equal(empty.revoked.size, 0)
})

test('cut anywhere, longer by a byte, or too long it is refused; a changed bit is refused or no longer signed', () => {
  for (let length = 0; length < written.length; length++) assert.throws(() => parseCrl(written.subarray(0, length)), isRefused)
  assert.throws(() => parseCrl(Uint8Array.of(...written, 0)), isRefused)
  assert.throws(() => parseCrl(new Uint8Array(crlReadLimit + 1)), isRefused)
  let read = 0
  for (let bit = 0; bit < written.length * 8; bit++) {
    const changed = Uint8Array.from(written)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    try {
      const list = parseCrl(changed)
      read += 1
      assert.equal(isListOf(list, ca.certificate), false, `bit ${bit}`)
    } catch (error) {
      assert.ok(isRefused(error), String(error))
    }
  }
  assert.ok(read > 500, `${read} of them were read`)
})

test('a list of other CAs certificates, which would have to be read otherwise, is refused', () => {
  const indirect = { issuer: ca.certificate, number: 1, ...times, entries, indirect: true }
  assert.throws(() => parseCrl(writeCrl(indirect, ca.pair, suite)), /critical extension 2\.5\.29\.28/)
  const [entry] = entries
  const foreign = [{ ...entry!, issuer: ca.certificate.subject }]
  const smuggled = writeCrl({ issuer: ca.certificate, number: 1, ...times, entries: foreign }, ca.pair, suite)
  assert.throws(() => parseCrl(smuggled), /critical extension 2\.5\.29\.29/)
})
