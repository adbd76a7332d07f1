import assert from 'node:assert/strict'
import test from 'node:test'
import { FleetTrust } from '#agent/core/fleet-trust.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { type Statement, signStatement } from '#shared/fleet/statement.ts'
import { wallTime } from '#shared/time/instant.ts'

const [admin, next, broker] = [7, 8, 9].map((seed) => suite.ed25519.pair(new Uint8Array(32).fill(seed)))
const fleet = suite.hash('sha256', Buffer.from('root'))
const now = wallTime(1_790_000_000_000)
const scope = { fleet, version: 5, notBefore: wallTime(now - 1000), notAfter: wallTime(now + 1000) }
const tunnelKey = new Uint8Array(32).fill(3)
const own = { id: 'dd', name: 'pump', role: 'device', tunnelKey, addresses: ['fd00::7'], tags: ['lab'], groups: [] } as const
const statements: Statement[] = [
  { ...scope, kind: 'peer', ...own },
  { ...scope, kind: 'peer', ...own, id: 'aa', name: 'ann', role: 'operator', tunnelKey: undefined, addresses: ['fd00::a'] },
  { ...scope, kind: 'grant', id: '1', operators: ['ann'], groups: [], devices: [], tags: ['lab'], ports: [{ from: 22, to: 22 }] },
]
const signed = (by = admin!) => statements.map((statement) => signStatement(statement, { suite, pair: by }))
const digest = new Uint8Array(16).fill(1)
const trustOf = (...record: ConstructorParameters<typeof FleetTrust> extends [unknown, (infer R)?] ? [R?] : never) =>
  new FleetTrust({ suite, fleet, tunnelKey, time: () => now }, ...record)

test('without a pin the broker lets in whom it lets in; its statements are held under its own key', () => {
  const trust = trustOf()
  trust.setBrokerKeys([broker!.publicKey])
  trust.take(digest, signed(broker))
  assert.equal(trust.permits('fd00::a', 22), true)
  assert.equal(trust.permits('fd00::a', 23), false)
  assert.equal(trust.allows('fd00::a', 23), true)
  assert.equal(trust.digest, toHex(digest))
})

test('without a pin too statements outlive a run, under the keys that the broker named before', () => {
  const trust = trustOf()
  trust.setBrokerKeys([broker!.publicKey])
  trust.take(digest, signed(broker))
  const again = trustOf({ ...trust.record, brokerKeys: [broker!.publicKey] })
  assert.equal(again.permits('fd00::a', 22), true)
  assert.equal(again.ledger.refusals, 0)
  assert.equal(trustOf({ ...trust.record, brokerKeys: [next!.publicKey] }).permits('fd00::a', 22), false)
})

test('A-92 under a pinned key no word of the broker counts', () => {
  const trust = trustOf()
  trust.pin(admin!.publicKey)
  trust.setBrokerKeys([broker!.publicKey])
  trust.take(digest, signed(broker))
  assert.equal(trust.allows('fd00::a', 22), false)
  assert.equal(trust.ledger.refusals, 3)
  trust.take(digest, signed())
  assert.equal(trust.allows('fd00::a', 22), true)
  assert.equal(trust.allows('fd00::bad', 22), false)
  trust.refused('fd00::bad', 22)
  assert.equal(trust.refusedConnections, 1)
  assert.equal(trust.lastRefusedConnection, 'fd00::bad to port 22')
})

test('it is found by its own tunnel key: a broker cannot make it another device', () => {
  const trust = new FleetTrust({ suite, fleet, tunnelKey: new Uint8Array(32).fill(4), time: () => now })
  trust.pin(admin!.publicKey)
  trust.take(digest, signed())
  assert.equal(trust.allows('fd00::a', 22), false)
})

test('pin and statements outlive a run; a pin moves by the old key alone', () => {
  const trust = trustOf()
  trust.pin(admin!.publicKey)
  trust.take(digest, signed())
  const again = trustOf(trust.record)
  assert.deepEqual(again.pinned, admin!.publicKey)
  assert.equal(again.allows('fd00::a', 22), true)
  const handOver = (from: typeof admin) => signStatement({ ...scope, kind: 'key', key: next!.publicKey }, { suite, pair: from! })
  again.take(digest, [handOver(broker), ...signed()])
  assert.deepEqual(again.pinned, admin!.publicKey)
  again.take(digest, [handOver(admin), ...signed(next)])
  assert.deepEqual(again.pinned, next!.publicKey)
  assert.equal(again.allows('fd00::a', 22), true)
  again.take(digest, signed(admin))
  assert.equal(again.allows('fd00::a', 22), false, 'the old key is over')
})

test('a hand-over moves no pin by way of a lookup either, unless the old key signed it', () => {
  const trust = trustOf()
  trust.pin(admin!.publicKey)
  const forged = signStatement({ ...scope, kind: 'key', key: next!.publicKey }, { suite, pair: broker! })
  trust.learn([forged])
  assert.deepEqual(trust.pinned, admin!.publicKey)
  const handOver = signStatement({ ...scope, kind: 'key', key: next!.publicKey }, { suite, pair: admin! })
  trust.learn([handOver])
  assert.deepEqual(trust.pinned, next!.publicKey)
  assert.equal(trust.ledger.refusals, 0)
})
