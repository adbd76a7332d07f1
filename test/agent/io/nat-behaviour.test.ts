import assert from 'node:assert/strict'
import { test } from 'node:test'
import { discoverBehaviour } from '#agent/io/nat-behaviour.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { BrokerFixture } from '#test/broker/broker-fixture.ts'

const ports = { suite: nativeSuite, clock: systemClock, timers: systemTimers }

test('on loopback there is no NAT and no filter, and a broker with a second address says so at once', async () => {
  const fixture = await BrokerFixture.start({ stunAlternates: [{ address: '127.0.0.2', port: 0 }] })
  const server = { address: '127.0.0.1', port: Number(fixture.broker.ready.listen.split(':').at(-1)) }
  const began = performance.now()
  const found = await discoverBehaviour({ ...ports, servers: [server] })
  assert.ok(performance.now() - began < 3_000)
  await fixture.end()
  assert.equal(found.translated, false)
  assert.deepEqual(found.filtering, ['endpoint-independent'])
  assert.deepEqual(found.unlearnt, [])
})

test('without servers nothing is known, and nothing waited for', async () => {
  assert.equal((await discoverBehaviour({ ...ports, servers: [] })).reflexive, undefined)
})
