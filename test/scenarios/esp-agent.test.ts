import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import test from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet, type Operator } from '#test/lab/fleet.ts'
import { Program } from '#test/lab/program.ts'

/** Our own agent in the esp suite: the same device, the same commands, another protocol on the wire. */
test('an agent with suite esp is up, is seen so, reports readings, and is back after the broker was killed', async (t) => {
  const fleet = await Fleet.start(t)
  const service = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1')
  t.after(() => service.close())
  await once(service, 'listening')
  const { port } = service.address() as AddressInfo
  const device = await fleet.device('pi', { suite: 'esp', services: [`http=127.0.0.1:${port}`] })
  const { tunnel } = await device.status<{ tunnel: { state: string; suite: string } }>()
  assert.deepEqual([tunnel.state, tunnel.suite], ['up', 'esp'])

  const ann = await fleet.operatorIn('esp', 'ann', '--admin')
  assert.equal(await stateOf(ann), 'up')
  assert.equal((await rowOf(ann)).suite, 'esp')
  await fleet.grant('ann', 'pi', 80)
  await readings(ann, 1)
  assert.equal(await greeting(ann), 'hello', 'from end to end, both tunnels in the same suite')
  // The broker writes endpoints in batches: give them their turn.
  await wait(6_000)
  await fleet.crashBroker()
  const from = performance.now()
  // What the list says may still be what was written down before: `why` asks the device.
  const isBack = async () => (await ann.run(['why', 'pi', '--port', '80'])).status === 0
  while (!(await isBack())) assert.ok(performance.now() - from < 20_000, 'not back in 20 s')
  t.diagnostic(`up again ${Math.round(performance.now() - from)} ms after the broker was ready`)
})

/** What the device's service says through `adit forward`. */
async function greeting(operator: Operator): Promise<string> {
  const words = ['forward', 'pi', '-L', '127.0.0.1:0:localhost:80', '--json']
  const forward = Program.start('adit', words, { env: operator.env })
  try {
    const { listen } = await forward.event(({ event }) => event === 'listening')
    const socket = connect(Number(String(listen).split(':').at(-1)), '127.0.0.1')
    let said = ''
    for await (const bytes of socket) said += bytes
    return said
  } finally {
    await forward.stop()
  }
}

async function rowOf(operator: Operator): Promise<{ state: string; suite: string }> {
  const [row] = JSON.parse(await operator.must(['devices', '--json']))
  return row
}

const stateOf = async (operator: Operator): Promise<string> => (await rowOf(operator)).state

/** Until the broker has so many vital signs of the device. */
async function readings(operator: Operator, atLeast: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const lines = (await operator.must(['telemetry', 'pi', '--json'])).split('\n').filter(Boolean)
    if (lines.length >= atLeast) return
    await wait(100)
  }
  assert.fail('no reading came')
}
