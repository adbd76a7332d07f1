import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { type ErrorCode, exitStatuses } from '#shared/errors.ts'
import { type Device, Fleet, type Operator } from '#test/lab/fleet.ts'
import { type Finished, Program, type ProgramName, run } from '#test/lab/program.ts'

/** The "Bad input": one sentence with cause and mend, a stable code, an exit status, and nothing lost. One fleet serves all. */

const undo: (() => unknown)[] = []
let fleet: Fleet
let device: Device
let ann: Operator
let bob: Operator

before(async () => {
  fleet = await Fleet.start({ after: (end) => undo.push(end as () => unknown) })
  device = await fleet.device('pump', { tags: ['lab'] })
  ann = await fleet.operator('ann')
  bob = await fleet.operator('bob')
  await fleet.grant('ann', 'pump', 22)
})

after(async () => {
  for (const end of undo) await end()
})

/** Asserts that the command was refused as the issue wants, with and without `--json`. */
async function refuses(
  code: ErrorCode,
  program: ProgramName,
  words: readonly string[],
  options: { input?: string; env?: Record<string, string>; says?: RegExp } = {},
): Promise<void> {
  const { says = /./, ...rest } = options
  const typed = `${program} ${words.join(' ')}`
  // Two that run at once would stand in each other's way.
  const first = run(program, words, rest)
  if (words[0] === 'run') await first
  const [plain, json] = await Promise.all([first, run(program, [...words, '--json'], rest)])
  assertSentence(plain, program, code, typed)
  assert.match(plain.stderr, says)
  assert.equal(json.status, exitStatuses[code], typed)
  assert.equal(json.stdout, '', typed)
  const told = JSON.parse(json.stderr.trim().split('\n').at(-1)!)
  assert.deepEqual(Object.keys(told), ['error', 'message', 'mend'], typed)
  assert.equal(told.error, code, typed)
}

function assertSentence({ status, stdout, stderr }: Finished, program: string, code: ErrorCode, typed: string): void {
  assert.equal(status, exitStatuses[code], `${typed}: ${stderr}`)
  assert.notEqual(status, 0)
  assert.equal(stdout, '', `${typed}: standard output is for data`)
  const last = stderr.trim().split('\n').at(-1)!
  assert.ok(last.startsWith(`${program}: `) && last.endsWith(`(${code})`), `${typed}: ${stderr}`)
  assert.doesNotMatch(stderr, /\n\s+at /, `${typed}: no stack`)
}

const enrol = (claim: string, where: string): readonly string[] => [
  'enrol',
  '--claim',
  claim,
  '--state',
  join(fleet.folder, where),
]

test('claims: mistyped, unknown, of the other role, revoked, used, expired', async () => {
  const good = await fleet.claim('device', 'second')
  const mistyped = `${good.slice(0, -1)}${good.endsWith('A') ? 'B' : 'A'}`
  await refuses('claim-malformed', 'adit-agent', enrol(mistyped, 'fresh'))
  await refuses('claim-malformed', 'adit-agent', enrol('nonsense', 'fresh'))
  await refuses('claim-wrong-role', 'adit-agent', enrol(await fleet.claim('operator', 'eve'), 'fresh'))
  await refuses('claim-wrong-role', 'adit', ['login', '--claim', good, '--state', join(fleet.folder, 'nobody')])
  const revoked = await fleet.admin<{ claim: string; id: string }>('claim', 'create', '--name', 'third')
  await fleet.admin('claim', 'revoke', revoked.id)
  await refuses('claim-revoked', 'adit-agent', enrol(revoked.claim, 'fresh'))
  const short = await fleet.admin<{ claim: string; id: string }>('claim', 'create', '--name', 'fourth', '--ttl', '1s')
  while ((await stateOf(short.id)) !== 'expired');
  await refuses('claim-expired', 'adit-agent', enrol(short.claim, 'fresh'))

  // All those refusals have cost neither the good claim nor the folder anything.
  const done = await run('adit-agent', enrol(good, 'fresh'))
  assert.equal(done.status, 0, done.stderr)
  await refuses('claim-used', 'adit-agent', enrol(good, 'late'))
  await refuses('already-enrolled', 'adit-agent', enrol(good, 'fresh'))
})

async function stateOf(id: string): Promise<string | undefined> {
  const claims = await fleet.admin<{ id: string; state: string }[]>('claim', 'list')
  return claims.find((claim) => claim.id === id)?.state
}

test('names with a slash or an escape code are refused everywhere and never shown raw', async () => {
  for (const name of ['a/b', '../a', 'a\u001b[31mb']) {
    await refuses('name-invalid', 'adit-broker', ['claim', 'create', '--data', fleet.data, '--name', name])
    await refuses('name-invalid', 'adit', ['telemetry', name, '--state', ann.state])
    const { status, stdout, stderr } = await ann.run(['ssh', name])
    assert.equal(status, exitStatuses['name-invalid'])
    assert.ok(!`${stdout}${stderr}`.includes('\u001b'))
  }
})

test('adit ssh to an unknown, offline, forbidden and revoked device', async () => {
  assert.equal(await ann.refused(['ssh', 'nowhere']), 'device-unknown')
  assert.equal(await bob.refused(['ssh', 'pump']), 'forbidden')
  await fleet.admin('device', 'add', '--name', 'plc', '--wireguard', Buffer.alloc(32, 9).toString('base64'))
  await fleet.grant('ann', 'plc', 22)
  assert.equal(await ann.refused(['ssh', 'plc']), 'device-offline')
  await fleet.admin('device', 'revoke', 'plc')
  assert.equal(await ann.refused(['ssh', 'plc']), 'device-revoked')
})

test('a second agent with the same state folder, and a second broker with the same data', async () => {
  await refuses('state-locked', 'adit-agent', ['run', '--state', device.state, '--mqtt', 'off'])
  await refuses('state-locked', 'adit-broker', ['run', '--data', fleet.data, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0'])
  assert.ok(device.program.running && fleet.broker.running)
})

test('ports in use: of tunnels, of the API, of a forward', async (t) => {
  const udp = createSocket('udp4').bind(0, '127.0.0.1')
  const tcp = createServer().listen(0, '127.0.0.1')
  t.after(() => udp.close())
  t.after(() => tcp.close())
  await Promise.all([once(udp, 'listening'), once(tcp, 'listening')])
  const [udpPort, tcpPort] = [udp.address().port, (tcp.address() as AddressInfo).port]
  const broker = ['run', '--data', join(fleet.folder, 'other'), '--log', 'silent']
  await refuses('port-in-use', 'adit-broker', [...broker, '--listen', `127.0.0.1:${udpPort}`, '--api', '127.0.0.1:0'])
  await refuses('port-in-use', 'adit-broker', [...broker, '--listen', '127.0.0.1:0', '--api', `127.0.0.1:${tcpPort}`])
  await refuses('port-in-use', 'adit', ['forward', 'pump', '-L', `${tcpPort}:22`, '--state', ann.state])
})

test('a broken line of a configuration is named with file and line', async () => {
  const broken = join(fleet.folder, 'broken.toml')
  writeFileSync(broken, '# one\nlisten = \n')
  const other = join(fleet.folder, 'unused')
  await refuses('config-invalid', 'adit-broker', ['run', '--data', other, '--config', broken], { says: /broken\.toml:2/ })
  await refuses('config-invalid', 'adit-broker', ['config', 'check', '--data', other, '--config', broken], {
    says: /broken\.toml:2/,
  })
  const words = ['run', '--state', join(fleet.folder, 'fresh'), '--config', broken]
  await refuses('config-invalid', 'adit-agent', words, { says: /broken\.toml:2/ })
})

test('a clock in 1970: the board enrols and comes up', async (t) => {
  const { claim } = await fleet.admin<{ claim: string }>('claim', 'create', '--name', 'old')
  const words = ['fleet', '--devices', '1', '--claim', '-', '--clock', '1970', '--json']
  const board = Program.start('adit-sim', words, { input: claim })
  t.after(() => board.stop())
  await board.event(({ event }) => event === 'up', 60_000)
})

test('a broker that is not there', async () => {
  const claim = await fleet.claim('device', 'orphan')
  await fleet.broker.stop()
  await refuses('broker-unreachable', 'adit-agent', enrol(claim, 'orphan'))
  await refuses('broker-unreachable', 'adit', ['devices', '--state', ann.state])
  assert.ok(device.program.running, 'the agent keeps trying')
  assert.ok(!readdirSync(join(fleet.folder, 'orphan')).includes('certificate.pem'))

  await fleet.startBroker()
  await fleet.device('proof')
  const done = await run('adit-agent', enrol(claim, 'orphan'))
  assert.equal(done.status, 0, `the claim still stands: ${done.stderr}`)
})
