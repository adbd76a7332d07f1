import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import mqtt from 'mqtt'
import { openOutbox } from '#agent/index.ts'
import { Program, run } from '#test/lab/program.ts'

/** A real broker and a real agent as separate processes: from the claim to the reading on the broker's disk. */
let folder = ''
let broker: Program
const data = () => join(folder, 'broker')
const state = (name: string) => join(folder, name)

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adit-scenario-'))
  broker = Program.start('adit-broker', ['run', '--data', data(), '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--json'])
  await broker.event(({ event }) => event === 'ready')
})

after(async () => {
  await broker.stop()
  await rm(folder, { recursive: true, force: true })
})

async function claim(...words: string[]): Promise<string> {
  const { stdout, stderr } = await run('adit-broker', ['claim', 'create', '--data', data(), ...words, '--json'])
  assert.ok(stdout, stderr)
  return JSON.parse(stdout).claim
}

const runAgent = (name: string, ...words: string[]): Program =>
  Program.start('adit-agent', ['run', '--state', state(name), '--mqtt', '127.0.0.1:0', '--json', ...words])

const refusal = (stderr: string): { error: string; message: string; mend: string } =>
  JSON.parse(stderr.trim().split('\n').at(-1)!)

test('enrol, up, publish, and the reading is on the broker', async () => {
  const enrolled = await run('adit-agent', ['enrol', '--claim', '-', '--state', state('pi'), '--json'], {
    input: await claim('--role', 'device', '--name', 'pi', '--tag', 'lab'),
  })
  assert.equal(enrolled.status, 0, enrolled.stderr)
  assert.equal(JSON.parse(enrolled.stdout).name, 'pi')
  assert.equal((await stat(state('pi'))).mode & 0o777, 0o700)
  for (const file of ['identity.key', 'tunnel.key']) assert.equal((await stat(join(state('pi'), file))).mode & 0o777, 0o600, file)

  const agent = runAgent('pi')
  const up = await agent.event(({ event }) => event === 'up')
  assert.equal(up.name, 'pi')
  const outbox = await openOutbox({ state: state('pi') })
  const { readings } = await outbox.status()
  const port = Number(readings.listen!.split(':').at(-1))
  const sensor = await mqtt.connectAsync({ host: '127.0.0.1', port, protocolVersion: 4 })
  await sensor.publishAsync('sensors/boiler/t1', '{"value": 71.5, "unit": "°C"}', { qos: 1 })
  await sensor.endAsync()
  await outbox.report([
    { name: 'door', value: 'open' },
    { name: 'door', value: 'closed', at: '2026-11-22T00:00:00Z' },
  ])
  outbox.close()

  const operator = await claim('--role', 'operator', '--name', 'ann', '--admin')
  assert.equal((await run('adit', ['login', '--claim', operator, '--state', state('ann')])).status, 0)
  const rows = await until(async () => {
    const { stdout } = await run('adit', ['telemetry', 'pi', '--json', '--state', state('ann')])
    const all = stdout
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
    const names = all.map(({ name }) => name)
    return names.includes('boiler/t1') && names.filter((name) => name === 'door').length === 2 ? all : undefined
  })
  const boiler = rows.find(({ name }) => name === 'boiler/t1')
  assert.deepEqual([boiler.value, boiler.unit, boiler.boot], [71.5, '°C', 1])
  assert.ok(
    rows.some(({ name }) => name === 'system/uptime'),
    'the device has vital signs',
  )
  assert.equal(new Set(rows.map(({ boot, seq }) => `${boot}.${seq}`)).size, rows.length)

  const second = await run('adit-agent', ['run', '--state', state('pi'), '--mqtt', 'off', '--json'])
  assert.equal(second.status, 5)
  assert.equal(refusal(second.stderr).error, 'state-locked')
  assert.equal(await agent.stop(), 0)
})

test('F-22 killed at any moment, it starts clean and is up', async () => {
  for (let round = 0; round < 6; round++) {
    const agent = runAgent('pi')
    await agent.event(({ event }) => event === 'starting')
    await new Promise((resolve) => setTimeout(resolve, 60 * round))
    await agent.stop('SIGKILL')
  }
  const agent = runAgent('pi')
  await agent.event(({ event }) => event === 'up', 5_000)
  const leftovers = (await readdir(state('pi'))).filter((name) => name.endsWith('.tmp'))
  assert.ok(leftovers.length <= 6)
  assert.equal(await agent.stop(), 0)
})

test('a wrong, used, malformed or foreign claim, and a state that is enrolled already', async () => {
  const token = await claim('--role', 'device', '--name', 'other')
  assert.equal((await run('adit-agent', ['enrol', '--claim', token, '--state', state('other')])).status, 0)
  const enrol = async (text: string, where: string) => {
    const { status, stderr } = await run('adit-agent', ['enrol', '--claim', text, '--state', state(where), '--json'])
    const { error, message, mend } = refusal(stderr)
    assert.ok(message.endsWith('.') && mend.length > 0, stderr)
    return [error, status]
  }
  assert.deepEqual(await enrol(token, 'third'), ['claim-used', 3])
  assert.deepEqual(await enrol(token, 'other'), ['already-enrolled', 3])
  assert.deepEqual(await enrol(`${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`, 'third'), ['claim-malformed', 3])
  assert.deepEqual(await enrol(await claim('--role', 'operator', '--name', 'bob'), 'third'), ['claim-wrong-role', 3])
})

test('a claim is redeemed once more by the same keys: a power cut costs nothing', async () => {
  const token = await claim('--role', 'device', '--name', 'cut')
  assert.equal((await run('adit-agent', ['enrol', '--claim', token, '--state', state('cut')])).status, 0)
  // As if the answer had never reached the disk.
  for (const file of ['certificate.pem', 'ca.pem', 'agent.json']) await rm(join(state('cut'), file))
  const again = await run('adit-agent', ['enrol', '--claim', token, '--state', state('cut'), '--json'])
  assert.equal(again.status, 0, again.stderr)
  assert.equal(JSON.parse(again.stdout).name, 'cut')
})

test('run can enrol first; a named port in use and a state that is not enrolled are refused', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const address = taken.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const none = await run('adit-agent', ['run', '--state', state('none'), '--json'])
  assert.deepEqual([refusal(none.stderr).error, none.status], ['not-enrolled', 4])
  const token = await claim('--role', 'device', '--name', 'fresh')
  const agent = runAgent('fresh', '--claim', token)
  await agent.event(({ event }) => event === 'enrolled')
  await agent.event(({ event }) => event === 'up')
  assert.equal(await agent.stop(), 0)
  const busy = await run('adit-agent', ['run', '--state', state('fresh'), '--mqtt', `127.0.0.1:${port}`, '--json'])
  assert.deepEqual([refusal(busy.stderr).error, busy.status], ['port-in-use', 5])
  taken.close()
})

async function until<T>(probe: () => Promise<T | undefined>): Promise<T> {
  for (let left = 20; left > 0; left--) {
    const value = await probe()
    if (value !== undefined) return value
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error('it never came')
}
