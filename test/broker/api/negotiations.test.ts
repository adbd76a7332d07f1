import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { Principal } from '#broker/registry/principal.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { ApiFixture, type Enrolled } from '#test/broker/api/api-fixture.ts'

const failure = (change: Partial<NegotiationFailure> = {}): NegotiationFailure => ({
  stage: 'auth',
  code: 'psk-mismatch',
  from: { address: '192.0.2.7', port: 4500 },
  claimedId: 'plant-a',
  offered: [],
  allowed: [],
  nearest: undefined,
  message: 'the pre-shared key of plant-a is another one',
  mendHere: 'adit-broker device add --ipsec --psk generate',
  mendThere: 'secrets { ike-adit { secret = … } }',
  ...change,
})

const mismatch = failure({
  stage: 'init',
  code: 'no-proposal-chosen',
  claimedId: undefined,
  offered: ['3des-sha1-modp1024'],
  allowed: ['aes256gcm16-prfsha256-x25519'],
  nearest: { offered: '3des-sha1-modp1024', allowed: 'aes256gcm16-prfsha256-x25519', differs: '3des, sha1 and modp1024' },
  message: 'no proposal chosen for IKE',
})

interface Desk {
  fixture: ApiFixture
  ann: Enrolled
  peer: Principal
  why(as?: Enrolled): Promise<{ verdict: string; mend: string; facts: { code: string; text: string; ok: boolean }[] }>
  failed(...failures: NegotiationFailure[]): Promise<void>
}

async function open(t: TestContext): Promise<Desk> {
  const fixture = await ApiFixture.open(t)
  const { registry } = fixture
  const ann = await fixture.enrol('operator', { name: 'ann', admin: true })
  const peer = await registry.ipsecPeers.add({ name: 'plant-a', proof: { psk: nativeSuite.random(32) } })
  fixture.gateway.answers = false
  return {
    fixture,
    ann,
    peer,
    why: async (as = ann) => (await fixture.ask('/v1/devices/plant-a/why', { as })).json,
    async failed(...failures) {
      for (const one of failures) registry.negotiations.record(one)
      await registry.negotiations.drained()
    },
  }
}

test('the last failure of a peer is the verdict, with what to change at either end, before any word of grants', async (t) => {
  const { why, failed, fixture } = await open(t)
  assert.equal((await why()).verdict, 'forbidden', 'an admin without a grant, and nothing has failed')
  await failed(failure({ code: 'clock' }))
  fixture.clock.forward(11_000)
  await failed(failure())
  fixture.clock.forward(30_000)
  const { verdict, mend, facts } = await why()
  assert.equal(verdict, 'psk-mismatch')
  assert.match(mend, /^At plant-a: secrets .* Or at the broker: adit-broker device add --ipsec --psk generate\.$/)
  const link = facts.find(({ ok }) => !ok)
  assert.equal(
    link?.text,
    'A negotiation of plant-a from 192.0.2.7 failed 30 s ago: the pre-shared key of plant-a is another one.',
  )
})

test('who never said who it is may be the peer: told as a guess, after what is known, and only for a while', async (t) => {
  const { why, failed, fixture, ann } = await open(t)
  await fixture.registry.grants.add({
    operators: ['ann'],
    groups: [],
    tags: [],
    devices: ['plant-a'],
    ports: [{ from: 22, to: 22 }],
  })
  await failed(mismatch)
  const { verdict, mend, facts } = await why(ann)
  assert.equal(verdict, 'no-proposal-chosen')
  assert.match(mend, /^If that is plant-a: At plant-a: /)
  assert.match(
    facts.find(({ ok }) => !ok)?.text ?? '',
    /^Somebody from 192\.0\.2\.7 who did not get as far as saying who it is failed 0 s ago/,
  )
  fixture.clock.forward(16 * 60_000)
  assert.equal((await why(ann)).verdict, 'device-never-up')
  fixture.gateway.presences.set('plant-a', {
    state: 'down',
    lastAuthentic: fixture.clock.ms - 3_600_000,
    endpoint: '192.0.2.7:4500',
  })
  assert.equal((await why(ann)).verdict, 'no-proposal-chosen', 'from where it was heard last')
})

test('a failure before the peer was heard again, or while it answers, is none', async (t) => {
  const { why, failed, fixture, peer } = await open(t)
  const { registry, gateway, clock } = fixture
  await registry.grants.add({ operators: ['ann'], groups: [], tags: [], devices: [peer.name], ports: [{ from: 22, to: 22 }] })
  await failed(failure())
  clock.forward(60_000)
  gateway.presences.set('plant-a', { state: 'down', since: clock.ms, lastAuthentic: clock.ms, endpoint: '192.0.2.7:4500' })
  assert.equal((await why()).verdict, 'device-offline')
  gateway.presences.set('plant-a', { state: 'up', since: clock.ms, lastAuthentic: clock.ms, endpoint: '192.0.2.7:4500' })
  await failed(mismatch)
  assert.equal((await why()).verdict, 'device-silent', 'a stranger’s failure says nothing of a peer that is up')
  await failed(
    failure({ stage: 'child', code: 'selectors-unacceptable', offered: ['peer 10.0.0.0/8'], allowed: ['peer 10.1.0.0/16'] }),
  )
  const { verdict, facts } = await why()
  assert.equal(verdict, 'selectors-unacceptable', 'an IKE SA without a Child SA is up and carries nothing')
  assert.match(facts.find(({ ok }) => !ok)?.text ?? '', /Offered: peer 10\.0\.0\.0\/8; allowed: peer 10\.1\.0\.0\/16\.$/)
  gateway.answers = true
  assert.equal((await why()).verdict, 'ok')
})

test('GET /v1/negotiations: whole, for administrators alone', async (t) => {
  const { fixture, ann, failed } = await open(t)
  await failed(mismatch, failure())
  const all = await fixture.ask('/v1/negotiations', { as: ann })
  assert.equal(all.status, 200, all.body.toString())
  assert.deepEqual(
    all.json.map(({ peer, from, code }: Record<string, unknown>) => [peer, from, code]),
    [
      [null, '192.0.2.7:4500', 'no-proposal-chosen'],
      ['plant-a', '192.0.2.7:4500', 'psk-mismatch'],
    ],
  )
  assert.deepEqual(all.json[0].nearest, mismatch.nearest)
  assert.equal((await fixture.ask('/v1/negotiations?peer=plant-a&limit=5', { as: ann })).json.length, 1)
  assert.equal((await fixture.ask('/v1/negotiations?after=1', { as: ann })).json.length, 1)
  assert.equal((await fixture.ask('/v1/negotiations?peer=nobody', { as: ann })).status, 404)
  assert.equal((await fixture.ask('/v1/negotiations?limit=0', { as: ann })).status, 400)
  const bob = await fixture.enrol('operator', { name: 'bob' })
  const refused = await fixture.ask('/v1/negotiations', { as: bob })
  assert.deepEqual([refused.status, refused.json.error], [403, 'forbidden'])
  assert.equal((await fixture.ask('/v1/negotiations')).status, 403)
  const pi = await fixture.enrol('device', { name: 'pi' })
  assert.equal((await fixture.ask('/v1/negotiations', { as: pi })).status, 403)
})
