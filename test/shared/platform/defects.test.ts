import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { DefectWatch } from '#shared/platform/defect-watch.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { instant } from '#shared/time/instant.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { until } from './town-netstack.ts'

const poison = new RangeError('nobody has thought of this')

/** An engine whose endpoint throws at every handshake message. */
async function faulty(t: TestContext, defect?: (error: unknown) => void): Promise<PacketEngine> {
  const engine = await PacketEngine.open({
    clock: systemClock,
    timers: systemTimers,
    bind: { address: '127.0.0.1', port: 0 },
    filter: new FlowFilter({ permit: () => forever }, 1),
    event: () => undefined,
    noise: (ports) => {
      const staticKey = nativeSuite.x25519.generate()
      const endpoint = new WireguardEndpoint({ suite: nativeSuite, staticKey, ports, nextTimestamp: () => tai64n(1n) })
      t.mock.method(endpoint, 'handleControl', () => {
        throw poison
      })
      return endpoint
    },
    ...(defect && { defect }),
    ports: { deliver: () => undefined, spoofed: () => undefined },
  })
  t.after(() => engine.close())
  return engine
}

/** As an initiation begins, and as long. */
const initiation = Buffer.alloc(148)
initiation[0] = 1

test('a datagram that meets a defect is dropped and counted, and the next one is heard', async (t) => {
  const met: unknown[] = []
  const engine = await faulty(t, (error) => met.push(error))
  const client = createSocket('udp4').bind(0, '127.0.0.1')
  await once(client, 'listening')
  t.after(() => client.close())
  for (let i = 0; i < 3; i++) client.send(initiation, engine.local.port, '127.0.0.1')
  await until(() => met.length === 3, 'all have come')
  assert.ok(met.every((error) => error === poison))
  assert.equal(engine.plane.counters.of(DropReason.Defect), 3)
})

test('whoever does not ask to be told of defects hears them as they are', async (t) => {
  const engine = await faulty(t)
  assert.throws(() => engine.receive(initiation, { address: '127.0.0.1', port: 9 }), poison)
})

test('the log has the first of a minute, and how many came', () => {
  const said: object[] = []
  let now = 1
  const watch = new DefectWatch({ error: (fields: object) => said.push(fields) } as never, { now: () => instant(now) })
  for (let i = 0; i < 1_000; i++) watch.met(poison)
  assert.deepEqual(said, [{ err: poison, times: 1 }])
  now += 60_000
  watch.met(poison)
  assert.deepEqual(said[1], { err: poison, times: 1_000 })
})
