import assert from 'node:assert/strict'
import test from 'node:test'
import { draftsIn, StatementSigning } from '#agent/operator/statement-signing.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { openStatement, type Statement } from '#shared/fleet/statement.ts'
import { encodeBody } from '#shared/fleet/statement-body.ts'
import { days, wallTime } from '#shared/time/instant.ts'

const pair = suite.ed25519.pair(new Uint8Array(32).fill(7))
const fleet = suite.hash('sha256', Buffer.from('root'))
const now = 1_790_000_000_000
const draft: Statement = {
  kind: 'grant',
  fleet,
  version: 0,
  notBefore: wallTime(0),
  notAfter: wallTime(now + days(1000)),
  id: '5',
  operators: ['ada'],
  groups: [],
  devices: ['pump'],
  tags: [],
  ports: [{ from: 22, to: 22 }],
}
const signing = (version = 0) => new StatementSigning({ suite, pair }, { fleet, version, now, life: days(366) })
const open = (bytes: Uint8Array) => openStatement(bytes, [pair.publicKey], wallTime(now), { suite, fleet })
const text = (statement: Statement) => Buffer.from(encodeBody(statement)).toString('base64')
const line = (statement: Statement, subject = 'grant:5') => ({ subject, reason: 'new', draft: text(statement) })
const document = (...pending: object[]) => ({ fleet: Buffer.from(fleet).toString('base64'), pending })

test('versions follow the clock, and go on above the last where it stands still or was wrong', () => {
  const one = signing()
  assert.deepEqual([open(one.sign(draft)).version, open(one.sign(draft)).version], [now, now + 1])
  assert.equal(open(signing(now + 50).sign(draft)).version, now + 51)
})

test('a statement lives as long as its subject, at most as long as was said, and begins a day ago', () => {
  const { notBefore, notAfter } = open(signing().sign(draft))
  assert.deepEqual([notBefore, notAfter], [now - days(1), now + days(366)])
  assert.equal(open(signing().sign({ ...draft, notAfter: wallTime(now + 10) })).notAfter, now + 10)
})

test('a hand-over outlives devices on a shelf', () => {
  const statement = open(signing().signKey(new Uint8Array(32).fill(1)))
  assert.equal(statement.kind, 'key')
  assert.ok(statement.notAfter > now + days(36_000))
})

test('a draft of another fleet is not signed', () => {
  assert.throws(() => signing().sign({ ...draft, fleet: new Uint8Array(32) }), /another fleet/)
})

test('A-92 what the broker asks to be signed is read strictly: no hand-over, no other subject than the one that is named', () => {
  assert.deepEqual(draftsIn(document(line(draft))).drafts, [{ reason: 'new', draft }])
  const key: Statement = { kind: 'key', fleet, version: 0, notBefore: wallTime(0), notAfter: wallTime(1), key: pair.publicKey }
  for (const wrong of [
    undefined,
    {},
    { fleet: 'AAAA', pending: [] },
    { fleet: document().fleet, pending: {} },
    document(line(draft, 'grant:6')),
    document(line(key, `key:${Buffer.from(pair.publicKey).toString('hex')}`)),
    document({ subject: 'grant:5', reason: 'new', draft: 'AAAA' }),
    document({ subject: 'grant:5', reason: 'new' }),
  ])
    assert.throws(() => draftsIn(wrong), { code: 'usage' }, JSON.stringify(wrong)?.slice(0, 80))
})
