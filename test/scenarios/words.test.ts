import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { after, before } from 'node:test'
import { type Device, Fleet, type Operator } from '#test/lab/fleet.ts'
import { Program, run } from '#test/lab/program.ts'

/** "The words typed": the good path of each verb, and the JSON that scripts rely on. One fleet serves all. */

const undo: (() => unknown)[] = []
let fleet: Fleet
let device: Device
let ann: Operator

before(async () => {
  fleet = await Fleet.start({ after: (end) => undo.push(end as () => unknown) })
  device = await fleet.device('pump', { tags: ['lab'], mqtt: '127.0.0.1:0', services: ['ssh=127.0.0.1:9'] })
  ann = await fleet.operator('ann')
  await fleet.admin('grant', 'add', '--operator', 'ann', '--tag', 'lab', '--port', '22', '--until', '7d')
})

after(async () => {
  for (const end of undo) await end()
})

const isTime = (value: unknown): boolean => typeof value === 'string' && new Date(value).toISOString() === value

/** That `value` has these fields, each of its type: `string`, `number`, `boolean`, `time`, `array`, `object`. */
function hasShape(value: object, shape: Readonly<Record<string, string>>): void {
  for (const [field, type] of Object.entries(shape)) {
    const found = (value as Record<string, unknown>)[field]
    const holds = type === 'time' ? isTime(found) : type === 'array' ? Array.isArray(found) : typeof found === type
    assert.ok(holds, `${field} is a ${type}, not ${JSON.stringify(found)} in ${JSON.stringify(value)}`)
  }
}

test('adit-broker run --json says ready first, and adit-agent run --json says up', () => {
  const [ready] = fleet.broker.events
  assert.deepEqual(Object.keys(ready!), ['event', 'listen', 'api', 'tcp'])
  assert.match(String(ready!.listen), /^127\.0\.0\.1:\d+$/)
  assert.match(String(ready!.api), /^https:\/\/127\.0\.0\.1:\d+$/)
  const up = device.program.events.find(({ event }) => event === 'up')!
  hasShape(up, { name: 'string', endpoint: 'string', addresses: 'array', afterMs: 'number', at: 'time' })
})

test('adit-broker: claims, grants, operators, audit, status, configuration, certificates', async () => {
  const claim = await fleet.admin(
    'claim',
    'create',
    '--role',
    'device',
    '--name',
    'pi-{n}',
    '--uses',
    '2',
    '--tag',
    'a',
    '--tag',
    'b',
  )
  hasShape(claim, { claim: 'string', id: 'string', created: 'time', expires: 'time', tags: 'array', uses: 'number' })
  await fleet.admin('claim', 'revoke', String(claim.id))
  const claims = await fleet.admin<{ id: string; state: string }[]>('claim', 'list')
  assert.equal(claims.find(({ id }) => id === claim.id)?.state, 'revoked')
  const plain = await fleet.adminSays('claim', 'create', '--role', 'device')
  assert.match(plain, /^adit1-[\w-]+\n$/, 'without --json the token alone')

  const [grant] = await fleet.admin<object[]>('grant', 'list')
  hasShape(grant!, { id: 'number', operators: 'array', tags: 'array', ports: 'array', until: 'time' })
  const [operator] = await fleet.admin<object[]>('operator', 'list')
  hasShape(operator!, { name: 'string', admin: 'boolean', addresses: 'array' })
  const rows = lines(await fleet.adminSays('audit', '--limit', '2', '--json')).map((line) => JSON.parse(line))
  assert.equal(rows.length, 2)
  hasShape(rows[0], { id: 'number', actor: 'string', action: 'string', subject: 'string' })
  const status = await fleet.admin('status')
  hasShape(status, { inner: 'array', devices: 'number', sessions: 'number', version: 'string' })
  hasShape(await fleet.admin('ca', 'show'), { fingerprint: 'string', certificate: 'string', tunnelKey: 'string' })
  hasShape(await fleet.admin('config', 'show'), { keepalive: 'string' })
  await fleet.adminSays('config', 'check')
})

test('adit-broker device: list, show, tag, add, revoke', async () => {
  const [first] = await fleet.admin<object[]>('device', 'list')
  hasShape(first!, { name: 'string', state: 'string', addresses: 'array', tags: 'array' })
  hasShape(await fleet.admin('device', 'show', 'pump'), { name: 'string', created: 'time' })
  const { tags } = await fleet.admin('device', 'tag', 'pump', '--add', 'x')
  assert.deepEqual(tags, ['lab', 'x'])
  const config = await fleet.adminSays('device', 'add', '--name', 'plc', '--wireguard', Buffer.alloc(32, 9).toString('base64'))
  assert.match(config, /^\[Interface\]/m)
  for (const key of ['Address', 'Endpoint', 'AllowedIPs']) assert.match(config, new RegExp(`^${key} = `, 'm'))
  assert.equal((await fleet.admin('device', 'revoke', 'plc')).state, 'revoked')
})

test('adit devices, why, audit, status, ssh-config, telemetry', async () => {
  const [pump] = JSON.parse(await ann.must(['devices', '--json']))
  hasShape(pump, { name: 'string', state: 'string', since: 'time', addresses: 'array', tags: 'array' })
  assert.match(await ann.must(['devices']), /^pump +up /m)
  const why = await ann.run(['why', 'pump', '--json'])
  hasShape(JSON.parse(why.stdout), { verdict: 'string', facts: 'array', mend: 'string' })
  assert.equal(why.status, JSON.parse(why.stdout).verdict === 'ok' ? 0 : 1)
  hasShape(JSON.parse(await ann.must(['status', '--json'])), { name: 'string', state: 'string', api: 'array' })
  assert.match(await ann.must(['ssh-config']), /^Host \*\.adit\n {2}ProxyCommand /)
  for (const line of lines(await ann.must(['audit', '--json']))) JSON.parse(line)

  const follow = Program.start('adit', ['telemetry', 'pump', '--follow', '--json'], { env: ann.env })
  const reading = await follow.event(({ name }) => name === 'system/uptime')
  await follow.stop()
  hasShape(reading, { name: 'string', value: 'number', unit: 'string', at: 'time', boot: 'number', seq: 'number' })
  const rows = lines(await ann.must(['telemetry', 'pump', '--json'])).map((line) => JSON.parse(line))
  for (const row of rows) assert.deepEqual(Object.keys(row), ['name', 'value', 'unit', 'at', 'boot', 'seq'])
})

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

test('adit ssh to a service that nobody serves names it', async () => {
  // As ssh starts it: standard input stays open while it waits for the server's greeting.
  const program = join(import.meta.dirname, '../../node_modules/.bin/adit')
  const child = spawn(program, ['proxy', 'pump', '22'], { env: { ...process.env, ...ann.env } })
  const [said, [status]] = await Promise.all([text(child.stderr), once(child, 'close')])
  assert.equal(status, 4)
  assert.match(said, /\(service-refused\)$/m)
})

test('adit-agent status, and ADIT_STATE in place of --state', async () => {
  hasShape(await device.status(), { name: 'string' })
  const byEnvironment = await run('adit-agent', ['status', '--json'], { env: { ADIT_STATE: device.state } })
  assert.equal(JSON.parse(byEnvironment.stdout).name, 'pump')
})

test('every program and verb has help', async () => {
  for (const [program, words] of [
    ['adit-broker', ['grant', 'add']],
    ['adit-agent', ['run']],
    ['adit', ['ssh']],
    ['adit', ['telemetry']],
    ['adit-sim', ['fleet']],
  ] as const) {
    const { status, stdout, stderr } = await run(program, [...words, '--help'])
    assert.deepEqual([status, stderr], [0, ''], program)
    assert.match(stdout, new RegExp(`^Usage: ${program} ${words.join(' ')}`))
  }
  const { status } = await run('adit', ['ssh'], { env: ann.env })
  assert.equal(status, 2, 'a device is missing')
})

test('the administrator works on a broker that is not running', async () => {
  await fleet.broker.stop()
  const { running } = await fleet.admin('status')
  assert.equal(running, false)
  assert.match(await fleet.claim('device', 'while-away'), /^adit1-/)
  await fleet.startBroker()
})

test('adit logout forgets who one is', async () => {
  await ann.must(['logout'])
  assert.equal(await ann.refused(['devices']), 'not-enrolled')
})
