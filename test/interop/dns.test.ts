/** F-08: a broker that is known by name, and a name server that is dead, slow, denying or lying. Needs root. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { AgentRecord } from '#agent/io/state-folder.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { NameServer } from '#test/lab/name-server.ts'
import { NatNetwork } from '#test/lab/nat-network.ts'

const name = 'broker.test'
/** Nobody is there. */
const nowhere = '198.51.100.66'
/** The bar of the issue, ms; the program's own start is not DNS's. */
const bar = 10_000

test('F-08 dead, slow, denying and lying DNS: enrolment by the claim’s addresses, and each cold start within 10 s', async (t) => {
  const { dev, srv, server } = new NatNetwork(t, { kind: 'easy' })
  const dns = await NameServer.start(t, srv, server, [dev])
  const fleet = await Fleet.start(t, {
    prefix: srv.prefix,
    listen: `${server}:4500`,
    api: `${server}:8443`,
    config: [
      `public-api = ["https://${name}:8443"]`,
      `public-endpoints = ["${name}:4500"]`,
      `public-addresses = ["${server}"]`,
      '',
    ].join('\n'),
  })
  const recordOf = (state: string): AgentRecord => JSON.parse(readFileSync(join(state, 'agent.json'), 'utf8'))

  // Never has this device had an answer by DNS.
  await dns.behave('silent')
  const device = await fleet.device('pi', { prefix: dev.prefix })
  assert.equal((await upAfter()).endpoint, `${server}:4500`)
  await device.stop()
  assert.deepEqual(recordOf(device.state).proven, { [name]: [server] })

  const figures: string[] = []
  for (const behaviour of ['silent', `slow 4000 ${server}`, 'nxdomain', `lie ${nowhere}`, `truth ${server}`] as const) {
    await device.stop()
    await dns.behave(behaviour)
    await device.start()
    const { afterMs } = await upAfter()
    figures.push(`${behaviour}: ${afterMs} ms`)
    assert.ok(afterMs <= bar, `${behaviour}: up after ${afterMs} ms`)
  }
  t.diagnostic(`cold start until the tunnel is up: ${figures.join(', ')}`)

  // What the liar said may be remembered, and is tried after what has worked.
  await device.stop()
  await dns.behave(`lie ${nowhere}`)
  await device.start()
  await device.stop()
  assert.deepEqual(recordOf(device.state).proven, { [name]: [server] })
  await dns.behave('silent')
  await device.start()
  assert.ok((await upAfter()).afterMs <= bar)

  async function upAfter(): Promise<{ endpoint: string; afterMs: number }> {
    const { endpoint, afterMs } = await device.program.event(({ event }) => event === 'up')
    return { endpoint: String(endpoint), afterMs: Number(afterMs) }
  }
})
