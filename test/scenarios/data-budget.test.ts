import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { DeviceStatus } from '#agent/device/status.ts'
import { AgentSocketClient } from '#agent/io/agent-socket.ts'
import { stateFiles } from '#agent/io/state-folder.ts'
import type { Device as DeviceDocument } from '#agent/operator/operator-api.ts'
import { Fleet, type Operator } from '#test/lab/fleet.ts'

async function scene(t: TestContext) {
  const fleet = await Fleet.start(t)
  const device = await fleet.device('pi', { tags: ['lab'] })
  const ann = await fleet.operator('ann')
  await fleet.admin('grant', 'add', '--operator', 'ann', '--tag', 'lab', '--port', '22')
  const socket = await AgentSocketClient.connect(join(device.state, stateFiles.socket))
  t.after(() => socket.close())
  const status = async (): Promise<DeviceStatus> => (await socket.request({ op: 'status' })) as DeviceStatus
  return { fleet, device, ann, status, look: () => devicesOf(fleet, ann) }
}

/** What the API tells the operator: each question is a look. */
async function devicesOf(fleet: Fleet, { state }: Operator): Promise<DeviceDocument> {
  const key = readFileSync(join(state, 'identity.key'))
  const cert = readFileSync(join(state, 'certificate.pem'))
  const question = get(`${fleet.broker.events[0]!.api}/v1/devices`, { key, cert, rejectUnauthorized: false, agent: false })
  const [answer] = (await once(question, 'response')) as [IncomingMessage]
  return (JSON.parse(await text(answer)) as DeviceDocument[])[0]!
}

async function until<T>(what: string, look: () => Promise<T>, holds: (seen: T) => boolean, withinMs = 30_000): Promise<T> {
  for (const from = performance.now(); ; await wait(100)) {
    const seen = await look()
    if (holds(seen)) return seen
    assert.ok(performance.now() - from < withinMs, `${what}: ${JSON.stringify(seen)}`)
  }
}

test('device set: the device is told at once, keeps to it, tells its pace, and both ends count its octets', async (t) => {
  const { fleet, ann, status, look } = await scene(t)
  assert.equal((await status()).data.mode, 'normal')
  const before = await until('pace and cost are told', look, ({ data }) => data?.paceSeconds === 25 && data.monthBytes > 0)
  assert.equal(before.data!.todayBytes, before.data!.monthBytes)

  const words = ['--data-mode', 'metered', '--monthly-megabytes', '1.1']
  const set = await fleet.admin<{ data: unknown }>('device', 'set', 'pi', ...words)
  assert.deepEqual(set.data, { mode: 'metered', monthlyMegabytes: 1.1 })
  const { data } = await until('metered', status, ({ data: { mode } }) => mode === 'metered')
  assert.equal(data.monthlyMegabytes, 1.1)
  assert.ok(data.sentBytes > 0 && data.receivedBytes > 0 && data.estimatedBytes === 0)

  await fleet.adminSays('device', 'set', 'pi', '--data-mode', 'on-demand', '--poll', '20m')
  await until('asleep', status, ({ data: { pollSeconds } }) => pollSeconds === 1200)
  const asleep = await until('the broker knows', look, (seen) => seen.data?.wakeSeconds === 1200)
  assert.equal(asleep.data?.mode, 'on-demand')
  assert.match(await ann.must(['devices', '--data']), /^pi +on-demand +each 20 min +[\d.]+ MB/m)
  await fleet.adminSays('device', 'set', 'pi', '--data-mode', 'normal', '--monthly-megabytes', 'none')
  await until('awake again', look, (seen) => seen.data?.wakeSeconds === 0 && seen.data.monthlyMegabytes === null)

  // What one end counted the other did too, but for the first handshake and the probes of the network, which come from elsewhere.
  const mine = (await status()).data
  const theirs = await until(
    'the ledger',
    look,
    (seen) => (seen.data?.monthBytes ?? 0) > 0.7 * (mine.sentBytes + mine.receivedBytes),
  )
  assert.ok(theirs.data!.monthBytes < 1.3 * (mine.sentBytes + mine.receivedBytes) + 20_000)
})

test('P-05 a device that stops dead is down within 15 s for whoever looks, and up again as soon as it speaks', async (t) => {
  const { device, look } = await scene(t)
  await until('up', look, ({ state }) => state === 'up')
  const { pid } = device.program
  process.kill(pid, 'SIGSTOP')
  const from = performance.now()
  await until('down', look, ({ state }) => state === 'down').finally(() => process.kill(pid, 'SIGCONT'))
  const took = performance.now() - from
  t.diagnostic(`down after ${Math.round(took)} ms`)
  // It was proven to be there at most 8 s before it stopped, and is asked twice.
  assert.ok(took <= 8_000 + 15_000, `${took} ms`)
  await until('up again', look, ({ state }) => state === 'up', 60_000)
})
