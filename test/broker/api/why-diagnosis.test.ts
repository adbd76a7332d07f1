import assert from 'node:assert/strict'
import test from 'node:test'
import { ApiFixture, type Enrolled } from '#test/broker/api/api-fixture.ts'

const blocked = {
  verdict: 'udp-blocked',
  findings: [{ state: 'broken', code: 'udp-blocked', text: 'UDP gets no answer.', mend: 'Open it.' }],
}
const sshDown = {
  verdict: 'service-down',
  findings: [
    { state: 'broken', code: 'service-down', text: 'ssh is not running.', mend: 'Start it.' },
    { state: 'warn', code: 'nat-symmetric', text: 'A hard NAT.', mend: 'None.' },
  ],
}
const minute = 60_000

async function open(t: test.TestContext) {
  const fixture = await ApiFixture.open(t)
  const ann = await fixture.enrol('operator', { name: 'ann' })
  const pi = await fixture.enrol('device', { name: 'pi', tags: ['roof'] })
  await fixture.grant('ann', 'roof')
  const tell = (body: object, as: Enrolled = pi) =>
    fixture.ask('/v1/agent/diagnosis', {
      method: 'PUT',
      as,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const why = async () => (await fixture.ask('/v1/devices/pi/why', { as: ann })).json
  return { fixture, tell, why }
}

test('D15 a device that is not heard has said why before it fell silent, and the age of its word is told', async (t) => {
  const { fixture, tell, why } = await open(t)
  fixture.gateway.answers = false
  const heard = fixture.clock.wall() - 10 * minute
  fixture.gateway.presences.set('pi', { state: 'down', since: heard, lastAuthentic: heard })
  assert.equal((await why()).verdict, 'device-offline')
  assert.equal((await tell(blocked)).status, 200)
  fixture.clock.forward(3 * minute)
  const { verdict, facts, mend } = await why()
  assert.equal(verdict, 'udp-blocked')
  assert.equal(mend, 'Open it.')
  assert.match(facts[0].text, /^pi said 3 min ago: UDP/)
  assert.deepEqual(
    facts.map(({ state }: { state: string }) => state),
    [...facts.map(({ state }: { state: string }) => state)].sort(
      (a, b) => ['broken', 'warn', 'ok'].indexOf(a) - ['broken', 'warn', 'ok'].indexOf(b),
    ),
    'worst first',
  )
  for (const { state, mend: each } of facts) assert.equal(each === '', state === 'ok')
})

test('D15 a word from before the device was heard again is no cause any more', async (t) => {
  const { fixture, tell, why } = await open(t)
  fixture.gateway.answers = false
  await tell(blocked)
  fixture.clock.forward(30 * minute)
  const heard = fixture.clock.wall() - 5 * minute
  fixture.gateway.presences.set('pi', { state: 'down', since: heard, lastAuthentic: heard })
  assert.equal((await why()).verdict, 'device-offline')
})

test('D15 of a device that is up, only what lies behind the tunnel can be broken', async (t) => {
  const { fixture, tell, why } = await open(t)
  const now = fixture.clock.wall()
  fixture.gateway.presences.set('pi', { state: 'up', since: now, lastAuthentic: now })
  await tell(sshDown)
  const { verdict, facts } = await why()
  assert.equal(verdict, 'service-down')
  assert.equal(facts.find(({ code }: { code: string }) => code === 'nat-symmetric').state, 'warn')
  await tell(blocked)
  const later = await why()
  assert.equal(later.verdict, 'host-key-missing')
  assert.equal(later.facts.find(({ code }: { code: string }) => code === 'udp-blocked').state, 'warn')
})

test('D15 a device that comes through a NAT64 is said to, for as long as that tunnel is up', async (t) => {
  const { fixture, tell, why } = await open(t)
  const now = fixture.clock.wall()
  fixture.gateway.presences.set('pi', { state: 'up', since: now, lastAuthentic: now })
  const through = { state: 'ok', code: 'nat64', text: 'Its NAT64 leads here.', mend: '' }
  await tell({ verdict: 'ok', findings: [through, { state: 'ok', code: 'udp', text: 'UDP works.', mend: '' }] })
  fixture.clock.forward(24 * 60 * minute)
  const { facts } = await why()
  assert.match(facts.find(({ code }: { code: string }) => code === 'nat64').text, /^pi said 24 h ago: Its NAT64/)
  assert.equal(facts.filter(({ code }: { code: string }) => code === 'udp').length, 0)
  fixture.gateway.presences.set('pi', { state: 'up', since: fixture.clock.wall(), lastAuthentic: fixture.clock.wall() })
  const later = await why()
  assert.ok(!later.facts.some(({ code }: { code: string }) => code === 'nat64'))
})

test('A-77 P-13 a diagnosis is bounded, needs a certificate, and replaces the one before', async (t) => {
  const { fixture, tell } = await open(t)
  const finding = sshDown.findings[0]!
  for (const bad of [
    {},
    { verdict: 'No Code', findings: [] },
    { verdict: 'x', findings: Array(17).fill(finding) },
    { verdict: 'x', findings: [{ ...finding, text: 'x'.repeat(501) }] },
    { verdict: 'x', findings: [{ ...finding, state: 'awful' }] },
    { verdict: 'x', findings: [{ ...finding, code: '\u001b[2J' }] },
  ])
    assert.ok((await tell(bad)).status >= 400, JSON.stringify(bad).slice(0, 80))
  const stranger = await fixture.ask('/v1/agent/diagnosis', { method: 'PUT', body: JSON.stringify(blocked) })
  assert.ok(stranger.status === 401 || stranger.status === 403)
  await tell(sshDown)
  await tell({ verdict: 'ok', findings: [] })
  const { id } = fixture.registry.directory.byName('device', 'pi')!
  assert.deepEqual(await fixture.registry.diagnoses.of(id), { verdict: 'ok', findings: [], at: fixture.clock.ms })
})
