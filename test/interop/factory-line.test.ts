/** Issue 6, part 2: real boards come to a real station over its LAN and over serial cables, and are up at a real broker. Needs root. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Factory } from '#test/lab/factory.ts'
import { Device } from '#test/lab/fleet.ts'
import { Program, run } from '#test/lab/program.ts'
import { SerialCable } from '#test/lab/serial-cable.ts'

const checkout = join(import.meta.dirname, '..', '..')
const agent = `${process.execPath} --import tsx ${join(checkout, 'agent/device/main.ts')}`

async function comesUp(t: TestContext, factory: Factory, name: string, state: string): Promise<void> {
  const device = new Device(name, state, {})
  t.after(() => device.stop())
  await device.start(60_000)
  assert.ok(await factory.has(name))
}

test('boards of a LAN: the station runs, six boards come at once, and each is somebody, once', {
  timeout: 240_000,
}, async (t) => {
  const factory = await Factory.open(t)
  const line = factory.start('run', '--listen', '127.0.0.1:0', '--admit')
  t.after(() => line.stop())
  const token = await factory.tokenOf(line)
  const boards = Array.from({ length: 6 }, (_, n) => ({ serial: `board-${n}`, state: join(factory.fleet.folder, `board-${n}`) }))
  const come = async ({ serial, state }: (typeof boards)[number]): Promise<void> => {
    const words = ['enrol', '--line', '-', '--serial', serial, '--state', state, '--json']
    const { status, stdout, stderr } = await run('adit-agent', words, { input: token, timeoutMs: 120_000 })
    assert.equal(status, 0, stderr)
    assert.equal(JSON.parse(stdout).event, 'enrolled')
  }
  await Promise.all(boards.map(come))
  const names = boards.map(({ state }) => JSON.parse(readFileSync(join(state, 'agent.json'), 'utf8')).name as string)
  assert.deepEqual([...names].sort(), Array.from({ length: 6 }, (_, n) => `pump-${n + 1}`).sort())
  await line.stop()
  await factory.station('sync')
  const proof = await factory.station('verify')
  assert.equal(proof.delivered, 6)
  await comesUp(t, factory, names[0]!, boards[0]!.state)
})

test('a board that nobody expects is not served', async (t) => {
  const factory = await Factory.open(t)
  const line = factory.start('run', '--listen', '127.0.0.1:0')
  t.after(() => line.stop())
  const token = await factory.tokenOf(line)
  const state = join(factory.fleet.folder, 'stranger')
  const board = Program.start('adit-agent', ['enrol', '--line', token, '--serial', 'stranger', '--state', state])
  t.after(() => board.stop('SIGKILL'))
  const deadline = Date.now() + 20_000
  while (!/does not serve this board now/.test(board.stderr) && Date.now() < deadline) await wait(50)
  assert.match(board.stderr, /does not serve this board now/)
})

test('serial: the agent at its console, over pseudo-terminals and serialport; pulled in the middle, it goes on', {
  timeout: 240_000,
}, async (t) => {
  const factory = await Factory.open(t)
  const state = join(factory.fleet.folder, 'board')
  const command = `${agent} enrol --console --serial board-1 --state ${state}`
  // As soon as the board has made its keys, is taking its identity, and has it.
  for (const name of ['identity.key', 'agent.json', 'certificate.pem']) {
    const cable = await SerialCable.plug(t, factory.fleet.folder, command)
    const attempt = factory.tries('provision', 'board-1', '--serial', cable.device)
    while (!existsSync(join(state, name))) await wait(5)
    await cable.pull()
    const { status, stderr } = await attempt
    t.diagnostic(`pulled when ${name} was there: ${stderr.trim() || 'provisioned'}`)
    if (name === 'identity.key') assert.notEqual(status, 0)
  }
  const cable = await SerialCable.plug(t, factory.fleet.folder, command)
  const record = await factory.station('provision', 'board-1', '--serial', cable.device)
  await cable.pull()
  assert.equal(record.name, 'pump-1')
  await factory.station('sync')
  const proof = await factory.station('verify')
  assert.deepEqual([proof.delivered, proof.certificates], [1, 1])
  await comesUp(t, factory, 'pump-1', state)
})

test('serial: a shell at the console, in which the station starts the agent', { timeout: 120_000 }, async (t) => {
  const factory = await Factory.open(t)
  const bin = join(factory.fleet.folder, 'bin')
  const state = join(factory.fleet.folder, 'board')
  mkdirSync(bin)
  writeFileSync(join(bin, 'adit-agent'), `#!/bin/sh\nexec ${agent} "$@" --serial board-2 --state ${state}\n`, { mode: 0o755 })
  const cable = await SerialCable.plug(t, factory.fleet.folder, `env PATH=${bin}:/usr/bin:/bin PS1=board# /bin/sh -i`)
  const wrong = await factory.tries('provision', 'board-9', '--serial', cable.device)
  assert.match(wrong.stderr, /board-2, and not board-9/)
  await factory.station('provision', 'board-2', '--serial', cable.device)
  await comesUp(t, factory, 'pump-2', state)
})
