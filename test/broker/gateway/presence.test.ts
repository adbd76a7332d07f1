import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EndpointEvidence } from '#broker/gateway/endpoint-evidence.ts'
import { PresenceTable } from '#broker/gateway/presence.ts'
import { type Clock, type Instant, instant, seconds, wallTime } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'

const start = Date.UTC(2026, 10, 22)
const device = 7

function setUp() {
  const at = { ms: 0 }
  const clock: Clock = { now: () => instant(at.ms), wall: () => wallTime(start + at.ms) }
  const table = new PresenceTable(clock)
  const heard = (address = '192.0.2.1', port = 5_000): Association =>
    ({ lastAuthentic: at.ms as Instant, endpoint: { address, port }, suite: 'noise' }) as unknown as Association
  return { at, table, heard }
}

test('never, up while the evidence is 150 s old at most, then down since the last of it', () => {
  const { at, table, heard } = setUp()
  assert.deepEqual(table.of(device, undefined), { state: 'never' })
  const association = heard()
  const seen = { since: start, lastAuthentic: start, endpoint: '192.0.2.1:5000', suite: 'noise' }
  assert.deepEqual(table.of(device, association), { state: 'up', ...seen })
  at.ms = 150_000
  assert.deepEqual(table.of(device, association), { state: 'up', ...seen })
  at.ms = 150_001
  assert.deepEqual(table.of(device, association), { state: 'down', ...seen })
  at.ms = 200_000
  assert.deepEqual(table.of(device, heard()).since, start + 200_000)
})

test('up since the first evidence after a break, however often it is renewed', () => {
  const { at, table, heard } = setUp()
  for (at.ms = 0; at.ms <= 600_000; at.ms += 60_000) assert.equal(table.of(device, heard()).since, start)
})

test('a goodbye holds until evidence comes that is newer than its own echo', () => {
  const { at, table, heard } = setUp()
  table.of(device, heard())
  at.ms = 1_000
  table.goodbye(device)
  at.ms = 1_100
  assert.equal(table.of(device, heard()).state, 'down')
  at.ms = 2_000
  assert.deepEqual(table.of(device, heard()), {
    state: 'up',
    since: start + 2_000,
    lastAuthentic: start + 2_000,
    endpoint: '192.0.2.1:5000',
    suite: 'noise',
  })
})

test('written when the place changes, and every two minutes for the age; not while nothing has changed', () => {
  const { at, table, heard } = setUp()
  const record = table.observe(device, heard())
  assert.deepEqual(record, {
    principalId: device,
    endpoint: '192.0.2.1:5000',
    lastAuthentic: start,
    upSince: start,
    suite: 'noise',
  })
  assert.notEqual(table.observe(device, heard()), undefined)
  table.stored([record!])
  at.ms = 60_000
  assert.equal(table.observe(device, heard()), undefined)
  assert.equal(table.observe(device, heard('2001:db8::1', 9))?.endpoint, '[2001:db8::1]:9')
  at.ms = 120_000
  assert.notEqual(table.observe(device, heard()), undefined)
})

test('what an earlier run knew is evidence of its own age, and who comes and goes is told once', () => {
  const { at, table, heard } = setUp()
  const old = { endpoint: '192.0.2.9:1', upSince: start - 900_000, suite: 'noise' as const }
  table.restore([
    { principalId: 1, ...old, lastAuthentic: start - 100_000 },
    { principalId: 2, ...old, lastAuthentic: start - 200_000 },
  ])
  assert.equal(table.of(1, undefined).state, 'up')
  assert.equal(table.of(2, undefined).state, 'down')
  assert.deepEqual(table.changes(), [])
  table.observe(2, heard())
  assert.deepEqual(table.changes(), [{ principalId: 2, state: 'up' }])
  at.ms = 60_000
  assert.deepEqual(table.changes(), [{ principalId: 1, state: 'down' }])
  assert.deepEqual(table.changes(), [])
})

function withPlaces() {
  const at = { ms: 0 }
  const clock: Clock = { now: () => instant(at.ms), wall: () => wallTime(start + at.ms) }
  const places = new EndpointEvidence()
  const table = new PresenceTable(clock, { places })
  const from = { address: '192.0.2.1', port: 5_000 }
  const association = { lastAuthentic: 0, endpoint: from, suite: 'noise' } as unknown as Association
  const state = () => table.of(device, association).state
  const keepalive = () => places.heard(1, from, instant(at.ms))
  const prove = () => Object.assign(association, { lastAuthentic: at.ms })
  return { at, table, places, from, association, state, keepalive, prove }
}

test('P-04 keepalives from the known endpoint keep `up` for hours; the ages of proof and hint are told apart', () => {
  const { at, table, association, state, keepalive } = withPlaces()
  assert.equal(state(), 'up')
  table.setPace(device, seconds(110), undefined)
  for (at.ms = 110_000; at.ms <= 6 * 3_600_000; at.ms += 110_000) {
    keepalive()
    assert.equal(state(), 'up')
  }
  at.ms -= 110_000
  const seen = table.of(device, association)
  assert.equal(seen.lastAuthentic, start)
  assert.equal(seen.lastHint, start + at.ms)
  assert.equal(seen.paceSeconds, 110)
  at.ms += 6 * 110_000
  assert.equal(state(), 'up')
  at.ms += 30_000
  assert.equal(state(), 'down', 'six keepalives later')
})

test('the pace of a device that no sweep has seen yet is kept', () => {
  const { table, heard } = setUp()
  table.setPace(device, seconds(110), heard())
  assert.equal(table.of(device, undefined).paceSeconds, 110)
})

test('a hint never makes anybody up: neither after silence, nor after a goodbye, nor after a probe without answer', () => {
  const { at, table, state, keepalive, prove } = withPlaces()
  assert.equal(state(), 'up')
  at.ms = 200_000
  keepalive()
  assert.equal(state(), 'down', 'the silence before it was too long')
  at.ms = 210_000
  prove()
  assert.equal(state(), 'up')
  at.ms = 215_000
  table.unanswered(device, start + 211_000)
  keepalive()
  assert.equal(state(), 'down', 'it was asked, and did not answer')
  at.ms = 220_000
  prove()
  assert.equal(state(), 'up')
  table.goodbye(device)
  at.ms = 222_000
  keepalive()
  assert.equal(state(), 'down')
})

test('a datagram from elsewhere is no hint, and a place that was left is none any more', () => {
  const { at, places, association, state, from } = withPlaces()
  assert.equal(state(), 'up')
  at.ms = 100_000
  places.heard(1, { address: '192.0.2.1', port: 5_001 }, instant(at.ms))
  assert.equal(places.of(device)?.lastHeard, undefined)
  Object.assign(association, { lastAuthentic: at.ms, endpoint: { address: '198.51.100.9', port: 1 } })
  assert.equal(state(), 'up')
  at.ms = 260_000
  places.heard(1, from, instant(at.ms))
  assert.equal(state(), 'down')
})
