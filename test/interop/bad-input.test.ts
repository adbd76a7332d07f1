import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet, type Operator } from '#test/lab/fleet.ts'
import { run, runCommand } from '#test/lab/program.ts'
import { SmallDisk } from '#test/lab/small-disk.ts'
import { freePort } from '#test/lab/sshd.ts'

/** A full disk under each program, which only root can arrange: one sentence, a code, and nothing is lost. */
describe('a full disk', () => {
  test('a broker and an agent that cannot begin say so; the claim is good afterwards', async (t) => {
    const disk = new SmallDisk(t, 4)
    const fleet = await Fleet.start(t)
    const claim = await fleet.claim('device', 'pi')
    disk.fill()

    const broker = await run('adit-broker', ['run', '--data', join(disk.folder, 'broker'), '--listen', '127.0.0.1:0'])
    assert.match(broker.stderr.trim(), /^adit-broker: No room [^\n]+ Free some space [^\n]+ \(disk-full\)$/)
    assert.equal(broker.status, 5)

    const state = join(disk.folder, 'agent')
    const enrol = () => run('adit-agent', ['enrol', '--claim', '-', '--state', state, '--json'], { input: claim })
    const refused = await enrol()
    assert.equal(JSON.parse(refused.stderr).error, 'disk-full', refused.stderr)
    assert.equal(refused.status, 5)
    disk.free()
    const enrolled = await enrol()
    assert.equal(enrolled.status, 0, enrolled.stderr)
    assert.equal(JSON.parse(enrolled.stdout).name, 'pi')
  })

  test('under a running agent: the tunnel stays, nothing is acknowledged that is not kept, and it goes on when there is room', async (t) => {
    const disk = new SmallDisk(t, 4)
    const fleet = await Fleet.start(t)
    const port = await freePort()
    const device = await fleet.device('pi', { state: join(disk.folder, 'agent'), mqtt: `127.0.0.1:${port}` })
    const ann = await fleet.operator('ann', '--admin')
    await publish(port, 1)
    disk.fill()
    const values = Array.from({ length: 40 }, (_, i) => 2 + i)
    const kept: number[] = []
    const refused: number[] = []
    for (const value of values) ((await tryPublish(port, value)) ? kept : refused).push(value)
    const status = await device.status<{ tunnel: { state: string }; storage: { state: string } }>()
    t.diagnostic(`${refused.length} of ${values.length} were not acknowledged; storage ${status.storage.state}`)
    assert.ok(refused.length > 0)
    assert.equal(status.storage.state, 'degraded')
    assert.equal(status.tunnel.state, 'up')
    disk.free()
    for (const value of refused) await publish(port, value)
    assert.deepEqual(await valuesOf(ann, 41), [1, ...kept, ...refused])
    assert.equal((await device.status<{ storage: { state: string } }>()).storage.state, 'ok')
  })

  test('under a running broker: readings wait at the agent, commands say why, and all of it arrives once when there is room', async (t) => {
    const disk = new SmallDisk(t, 8)
    const fleet = await Fleet.start(t, { data: join(disk.folder, 'broker') })
    const port = await freePort()
    const device = await fleet.device('pi', { mqtt: `127.0.0.1:${port}` })
    const ann = await fleet.operator('ann', '--admin')
    await publish(port, 1)
    await valuesOf(ann, 1)
    disk.fill()
    const count = 2_000
    const lines = Array.from({ length: count }, (_, i) => 2 + i)
    const sent = await runCommand('mosquitto_pub', ['-p', String(port), '-q', '1', '-t', 'sensors/level', '-l'], {
      input: lines.map((line) => `[${line}]\n`).join(''),
      timeoutMs: 60_000,
    })
    assert.equal(sent.status, 0, sent.stderr)
    const refused = await fleet.refusedAdmin('claim', 'create', '--name', 'x'.repeat(60), ...manyTags())
    assert.match(refused, /disk-full/)
    assert.ok(fleet.broker.running)
    assert.equal((await device.status<{ tunnel: { state: string } }>()).tunnel.state, 'up')
    disk.free()
    assert.deepEqual(await valuesOf(ann, count + 1), [1, ...lines])
    await fleet.claim('device', 'after')
  })
})

/** Publishes one reading; false where it is not acknowledged. */
async function tryPublish(port: number, value: number): Promise<boolean> {
  const words = ['-p', String(port), '-q', '1', '-t', 'sensors/level', '-m', String(value)]
  return (await runCommand('mosquitto_pub', words, { timeoutMs: 10_000 })).status === 0
}

async function publish(port: number, value: number): Promise<void> {
  assert.ok(await tryPublish(port, value), `${value} is acknowledged`)
}

/** The values of `level`, once there are so many; each came once. */
async function valuesOf(operator: Operator, count: number): Promise<number[]> {
  const from = performance.now()
  for (;;) {
    const said = await operator.must(['telemetry', 'pi', '--name', 'level', '--since', '1h', '--json'])
    const values = said
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line).value as number)
    assert.ok(values.length <= count, `${values.length} of ${count}`)
    if (values.length === count) return values
    assert.ok(performance.now() - from < 60_000, `${values.length} of ${count} readings have arrived`)
    await wait(300)
  }
}

/** A claim that is larger than any page that may still have room. */
const manyTags = (): string[] => Array.from({ length: 30 }, (_, i) => ['--tag', `${'t'.repeat(50)}${i}`]).flat()
