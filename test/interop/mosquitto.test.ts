import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { encodeCbor } from '#shared/telemetry/cbor.ts'
import { Fleet, type Operator } from '#test/lab/fleet.ts'
import { runCommand } from '#test/lab/program.ts'
import { freePort } from '#test/lab/sshd.ts'

interface Reading {
  name: string
  value: unknown
  unit: string | null
  at: string
  boot: number
  seq: number
}

test('mosquitto_pub hands readings to the agent, at QoS 0, 1 and 2, as number, JSON, array and CBOR; each arrives once, in order', async (t) => {
  const fleet = await Fleet.start(t)
  const port = await freePort()
  const device = await fleet.device('pi', { mqtt: `127.0.0.1:${port}` })
  const ann = await fleet.operator('ann')
  await fleet.grant('ann', 'pi')
  const publish = async (qos: number, name: string, ...payload: string[]): Promise<void> => {
    const words = ['-h', '127.0.0.1', '-p', String(port), '-q', String(qos), '-t', `sensors/${name}`, ...payload]
    const { status, stderr } = await runCommand('mosquitto_pub', words)
    assert.equal(status, 0, stderr)
  }
  const cbor = join(fleet.folder, 'reading.cbor')
  writeFileSync(cbor, encodeCbor({ value: 4.5, unit: 'bar', at: 1_795_000_000_000 }))

  await publish(0, 'flow', '-m', '1')
  await publish(1, 'flow', '-m', '{"value": 2, "unit": "l/s", "at": "2026-11-01T10:00:00Z"}')
  await publish(2, 'flow', '-m', '[3, {"value": 4, "unit": "l/s"}, 5]')
  await publish(2, 'flow', '-f', cbor)
  // A stream of lines in one connection.
  const lines = Array.from({ length: 200 }, (_, i) => 100 + i)
  const streamed = await runCommand('mosquitto_pub', ['-p', String(port), '-q', '1', '-t', 'sensors/flow', '-l'], {
    input: lines.map((line) => `${line}\n`).join(''),
  })
  assert.equal(streamed.status, 0, streamed.stderr)

  const expected = [1, 2, 3, 4, 5, 4.5, ...lines]
  const flow = await arrived(ann, 'pi', 'flow', expected.length)
  assert.deepEqual(
    flow.map(({ value }) => value),
    expected,
  )
  assert.equal(new Set(flow.map(({ boot, seq }) => `${boot} ${seq}`)).size, expected.length, 'each once')
  assert.deepEqual(flow[1], { ...flow[1], unit: 'l/s', at: '2026-11-01T10:00:00.000Z' })
  assert.deepEqual(flow[5], { ...flow[5], unit: 'bar', at: new Date(1_795_000_000_000).toISOString() })

  // What is no reading, and what is no sensor's topic, hurts nobody.
  await publish(1, 'flow', '-m', 'no number')
  await publish(1, 'flow', '-n')

  // Published while the agent has no broker, then the agent is killed: nothing that was acknowledged is lost.
  await fleet.broker.stop('SIGKILL')
  for (const value of [901, 902, 903]) await publish(1, 'later', '-m', String(value))
  await device.stop('SIGKILL')
  await fleet.startBroker()
  await device.start()
  const later = await arrived(ann, 'pi', 'later', 3)
  assert.deepEqual(
    later.map(({ value }) => value),
    [901, 902, 903],
  )
  assert.equal((await arrived(ann, 'pi', 'flow', expected.length)).length, expected.length)
})

/** The readings of that name, once there are so many. */
async function arrived(operator: Operator, device: string, name: string, count: number): Promise<Reading[]> {
  const from = performance.now()
  for (;;) {
    const said = await operator.must(['telemetry', device, '--name', name, '--json'])
    const readings = said
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Reading)
    if (readings.length >= count) return readings
    assert.ok(performance.now() - from < 30_000, `${readings.length} of ${count} readings have arrived`)
    await wait(200)
  }
}
