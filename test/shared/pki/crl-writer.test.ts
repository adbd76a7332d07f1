import assert from 'node:assert/strict'
import test from 'node:test'
import { makeRoot } from '#broker/identity/ca-certificates.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { CRL_ENTRY_LIMIT, writeCrl } from '#shared/pki/crl-writer.ts'
import { DerReader, readTime, Tag } from '#shared/pki/der.ts'
import { parseSignatureAlgorithm, verifySignature } from '#shared/pki/signature.ts'
import { wallTime } from '#shared/time/instant.ts'

const now = wallTime(Date.UTC(2049, 11, 31, 23, 59, 59))
const later = wallTime(now + 1_000)
const ca = makeRoot(wallTime(Date.UTC(2030, 0, 1)), suite)
const list = (entries: Parameters<typeof writeCrl>[0]['entries']): Uint8Array =>
  writeCrl({ issuer: ca.certificate, number: 2 ** 52, thisUpdate: now, nextUpdate: later, entries }, ca.pair, suite)

test('a list is signed by its CA, says its times on both sides of 2050, and its serials in order', () => {
  const der = list([
    { serial: Uint8Array.of(9), revokedAt: now, reason: 'superseded' },
    { serial: Uint8Array.of(0x7f, 1), revokedAt: later },
    { serial: Uint8Array.of(2), revokedAt: now, reason: 'unspecified' },
  ])
  const outer = new DerReader(der).sequence()
  const tbs = outer.next(Tag.Sequence)
  const algorithm = outer.next(Tag.Sequence).whole
  const signature = outer.content(Tag.BitString).subarray(1)
  outer.end()
  assert.ok(verifySignature(parseSignatureAlgorithm(algorithm), ca.certificate.publicKey, tbs.whole, signature))
  const fields = new DerReader(tbs.content)
  assert.deepEqual([...fields.content(Tag.Integer)], [1])
  fields.next(Tag.Sequence)
  assert.deepEqual(fields.next(Tag.Sequence).whole, ca.certificate.subject)
  assert.equal(readTime(fields.next(Tag.UtcTime)), now)
  assert.equal(readTime(fields.next(Tag.GeneralizedTime)), later)
  const revoked = fields.sequence()
  const serials: number[][] = []
  while (!revoked.done) serials.push([...revoked.sequence().content(Tag.Integer)])
  assert.deepEqual(serials, [[2], [9], [0x7f, 1]])
})

test('as many as there may be, and no more; none at all leaves no empty list', () => {
  const many = (length: number) =>
    Array.from({ length }, (_, n) => ({
      serial: Uint8Array.of(0x41, ...new Uint8Array(11), n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff),
      revokedAt: later,
      reason: 'key-compromise' as const,
    }))
  assert.ok(list(many(CRL_ENTRY_LIMIT)).length < 2 ** 24)
  assert.throws(() => list(many(CRL_ENTRY_LIMIT + 1)), RangeError)
  const tbs = new DerReader(new DerReader(list([])).sequence().content(Tag.Sequence))
  for (const tag of [Tag.Integer, Tag.Sequence, Tag.Sequence, Tag.UtcTime, Tag.GeneralizedTime, 0xa0]) tbs.next(tag)
  tbs.end()
})
