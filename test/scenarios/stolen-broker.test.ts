import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import ssh2 from 'ssh2'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { LoginShell } from '#sim/login-shell.ts'
import { newSshKeyPair } from '#sim/ssh-key-pair.ts'
import { type Device, Fleet, type Operator } from '#test/lab/fleet.ts'
import { Program } from '#test/lab/program.ts'

const patienceMs = 60_000

interface FleetState {
  fleet: {
    pinned: boolean
    fingerprint: string | null
    grants: number
    refusedStatements: number
    lastRefusedStatement: string | null
    refusedConnections: number
    refusedPackets: number
  }
}

/**
 * A fleet under a fleet key: ada is its administrator and signs on her machine, ann may reach ssh of the pump. The pump and ann enrolled
 * with claims that carried the key.
 */
async function scene(t: TestContext) {
  const fleet = await Fleet.start(t)
  const gauge = await listen(
    t,
    createServer((socket) => socket.on('error', () => {}).pipe(socket)),
  )
  const keys = newSshKeyPair()
  const shell = new LoginShell({ hostName: 'pump', authorizedKeys: [keys.public], uptimeSeconds: () => 1, readings: () => [] })
  t.after(() => shell.close())
  const ssh = await listen(
    t,
    createServer((socket) => shell.accept(socket)),
  )

  const ada = await fleet.operator('ada', '--admin')
  const { key } = JSON.parse(await ada.must(['fleet', 'init', '--json']))
  await fleet.admin('fleet', 'pin', key)
  const pump = await fleet.device('pump', { services: [`ssh=127.0.0.1:${ssh}`, `gauge:2323=127.0.0.1:${gauge}`], tags: ['lab'] })
  const ann = await fleet.operator('ann')
  const { id } = await fleet.admin('grant', 'add', '--operator', 'ann', '--tag', 'lab', '--port', '22')
  await until('the host key is pinned', async () => {
    const devices = JSON.parse(await ada.must(['devices', '--json']))
    return devices[0]?.hostKeys.ssh?.keys.length > 0
  })
  return { fleet, ada, ann, pump, key: String(key), grant: String(id), privateKey: keys.private }
}

const signAll = (ada: Operator): Promise<string> => ada.must(['fleet', 'sign', '--yes'])

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

async function until(what: string, holds: () => Promise<boolean>, withinMs = patienceMs): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await holds())) {
    assert.ok(performance.now() < end, `${what} within ${withinMs} ms`)
    await wait(50)
  }
}

const stateOf = async (device: Device): Promise<FleetState['fleet']> => (await device.status<FleetState>()).fleet
/** Whether they came in the clear of the hub or under an association of their own. */
const refusals = ({ refusedConnections, refusedPackets }: FleetState['fleet']): number => refusedConnections + refusedPackets
const holdsGrants = (device: Device, grants: number) => async () => (await stateOf(device)).grants === grants

/** What a command says through the device's ssh; throws where the connection ends before. */
async function sshSays(operator: Operator, privateKey: string, path: 'auto' | 'relay' = 'auto'): Promise<string> {
  return throughForward(operator, [22, path], async (port) => {
    const client = new ssh2.Client()
    try {
      const ready = once(client, 'ready')
      // What comes after it, such as the reset of a port that is closed, is no concern of ours.
      client.on('error', () => {})
      client.connect({ host: '127.0.0.1', port, username: 'pi', privateKey, readyTimeout: patienceMs })
      await ready
      const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
        client.exec('hostname', (error, opened) => (error ? reject(error) : resolve(opened))),
      )
      let said = ''
      channel.on('data', (bytes: Buffer) => {
        said += bytes
      })
      await once(channel, 'close')
      return said.trim()
    } finally {
      client.end()
    }
  })
}

/** Whether bytes come back from a port of the pump; false where the connection ends instead. */
async function echoes(operator: Operator, devicePort: number): Promise<boolean> {
  return throughForward(operator, [devicePort], async (port) => {
    const stream = connect(port, '127.0.0.1')
    stream.write('alive')
    const ended = new Promise<boolean>((resolve) => {
      stream.on('error', () => resolve(false))
      stream.once('close', () => resolve(false))
      stream.once('data', () => resolve(true))
    })
    return ended.finally(() => stream.destroy())
  })
}

async function throughForward<Result>(
  operator: Operator,
  [port, path = 'auto']: [port: number, path?: 'auto' | 'relay'],
  use: (port: number) => Promise<Result>,
): Promise<Result> {
  const words = ['forward', 'pump', '-L', `0:${port}`, '--path', path, '--json']
  const forward = Program.start('adit', words, { env: operator.env })
  try {
    const { listen: where } = await forward.event(({ event }) => event === 'listening', patienceMs)
    return await use(Number(String(where).split(':').at(-1)))
  } catch (error) {
    throw new Error(`adit forward said: ${forward.stderr}`, { cause: error })
  } finally {
    await forward.stop()
  }
}

/** What the thief does with the files of a broker that stands still. */
async function rewrite(fleet: Fleet, sql: string, ...values: (string | number)[]): Promise<void> {
  await fleet.broker.stop()
  const database = await openDatabase(join(fleet.data, 'adit.db'))
  const { changes } = await database.write(sql, values)
  assert.ok(changes > 0, `the thief changed something: ${sql}`)
  await database.close()
  await fleet.startBroker()
}

/** The refusal of `adit ssh`, in words. */
async function refusal(operator: Operator): Promise<string> {
  const { status, stderr } = await operator.run(['ssh', 'pump', '--', 'hostname'])
  assert.equal(status, 3, stderr)
  assert.match(stderr, /\(statement-refused\)/)
  return stderr
}

test('DESIGN D6 a fleet key opens what it has signed, and within a second what it signs next', async (t) => {
  const { fleet, ada, ann, pump, key, privateKey } = await scene(t)
  const before = await stateOf(pump)
  assert.equal(before.pinned, true, 'the claim carried the key')
  assert.match(await refusal(ann), /not believed/, 'nothing is signed yet')

  await signAll(ada)
  await until('the grant is at the device', holdsGrants(pump, 1))
  assert.equal(await sshSays(ann, privateKey), 'pump')
  assert.equal(await sshSays(ann, privateKey, 'relay'), 'pump', 'through the broker, inside the association')
  assert.match(await ada.must(['fleet', 'show', '--json']), new RegExp(key.replaceAll('+', '\\+')))

  await fleet.admin('grant', 'add', '--operator', 'ann', '--device', 'pump', '--port', '2323')
  assert.equal(await echoes(ann, 2323), false, 'the broker grants it, the key does not')
  assert.ok(refusals(await stateOf(pump)) > refusals(before), 'counted at the device')
  await signAll(ada)
  const signedAt = performance.now()
  await until('the second grant is at the device', holdsGrants(pump, 2))
  t.diagnostic(`seen at the device ${(performance.now() - signedAt).toFixed(0)} ms after the command had ended`)
  assert.equal(await echoes(ann, 2323), true)

  assert.match(await fleet.adminSays('fleet', 'status'), /administrator's/)
  assert.deepEqual((await fleet.admin<{ pending: unknown[] }>('fleet', 'pending')).pending, [])
})

test('A-79 a stolen broker that swaps host keys, tunnel keys and addresses is not believed', async (t) => {
  const { fleet, ada, ann, pump, privateKey } = await scene(t)
  await signAll(ada)
  await until('the grant is at the device', holdsGrants(pump, 1))
  assert.equal(await sshSays(ann, privateKey), 'pump', 'it worked before')

  const forged = newSshKeyPair().public.split(' ').slice(0, 2).join(' ')
  await rewrite(fleet, 'UPDATE host_keys SET keys = ?', JSON.stringify([forged]))
  assert.match(await refusal(ann), /its ssh host key is not the one that was signed/)
  await rewrite(fleet, 'DELETE FROM host_keys')
  assert.equal(await sshSays(ann, privateKey), 'pump', 'a key that is left out is known all the same')

  const tunnelKey = Buffer.alloc(32, 7).toString('hex')
  await rewrite(
    fleet,
    "UPDATE keys SET value = ? WHERE kind = 'tunnel' AND principal_id = (SELECT id FROM principals WHERE name = 'pump')",
    tunnelKey,
  )
  assert.match(await refusal(ann), /its tunnel key is not the one that was signed/)
})

test('A-92 a stolen broker that adds operators and grants, or plays older ones, reaches no service of the device', async (t) => {
  const { fleet, ada, ann, pump, grant } = await scene(t)
  await fleet.admin('grant', 'add', '--operator', 'ann', '--device', 'pump', '--port', '2323')
  await signAll(ada)
  await until('the grants are at the device', holdsGrants(pump, 2))
  assert.equal(await echoes(ann, 2323), true, 'it worked before')

  const eve = await fleet.operator('eve', '--admin')
  rmSync(join(eve.state, 'fleet.key'))
  rmSync(join(eve.state, 'fleet.key.bak'))
  await fleet.admin('grant', 'add', '--operator', 'eve', '--tag', 'lab', '--port', 'any')
  assert.equal(await echoes(eve, 2323), false)
  const refusedOnce = refusals(await stateOf(pump))
  assert.ok(refusedOnce > 0, 'counted at the device')

  // She makes a fleet key of her own, has the broker take it, and signs everything.
  const { key: forged } = JSON.parse(await eve.must(['fleet', 'init', '--json']))
  await fleet.admin('fleet', 'pin', forged, '--replace')
  await signAll(eve)
  await until('the device has refused her statements', async () => (await stateOf(pump)).refusedStatements > 0)
  assert.equal(await echoes(eve, 2323), false)
  const state = await stateOf(pump)
  assert.ok(refusals(state) > refusedOnce)
  assert.equal(state.grants, 0, 'a broker may always close')
  assert.match(state.lastRefusedStatement ?? '', /does not count here/)
  assert.equal(await echoes(ann, 2323), false, 'closed to her too, who did nothing')

  // Ann's grant is withdrawn by the true key; the thief has kept the old statement and plays it again.
  const { key } = JSON.parse(await ada.must(['fleet', 'show', '--json'])).own
  await fleet.admin('fleet', 'pin', key, '--replace')
  await fleet.admin('operator', 'revoke', 'eve')
  // Her signatures stand in the broker's files where the true ones were.
  await signAll(ada)
  await until('the old grants are back', holdsGrants(pump, 2))
  const database = await openDatabase(join(fleet.data, 'adit.db'))
  const kept = await database.read('SELECT hex(bytes) AS hex FROM statements WHERE subject = ?', [`grant:${grant}`])
  await database.close()
  await fleet.admin('grant', 'revoke', grant)
  await signAll(ada)
  await until('the grant is closed', holdsGrants(pump, 1))
  const hex = String((kept as { hex: string }[])[0]!.hex)
  await rewrite(fleet, `UPDATE statements SET bytes = x'${hex}' WHERE subject = ?`, `grant:${grant}`)
  await rewrite(fleet, 'UPDATE grants SET revoked_at = NULL WHERE id = ?', Number(grant))
  await until('the older one was refused', async () => /older than one of/.test((await stateOf(pump)).lastRefusedStatement ?? ''))
  assert.equal((await stateOf(pump)).grants, 1)
})

test('a lost key: restored from its backup, or pinned anew by hand; a wrong passphrase signs nothing', async (t) => {
  const { fleet, ada, ann, pump } = await scene(t)
  await signAll(ada)
  await until('the grant is at the device', holdsGrants(pump, 1))

  const folder = mkdtempSync(join(tmpdir(), 'adit-fleet-key-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'key.pem')
  const [right, wrong] = [join(folder, 'right'), join(folder, 'wrong')]
  writeFileSync(right, 'correct horse\n')
  writeFileSync(wrong, 'battery staple\n')
  const made = JSON.parse(await ada.must(['fleet', 'init', '--key', file, '--passphrase-file', right, '--json']))
  assert.match(readFileSync(file, 'latin1'), /BEGIN ENCRYPTED PRIVATE KEY/)
  assert.equal(await ada.refused(['fleet', 'init', '--key', file]), 'fleet-key-refused', 'a key is never written over')

  assert.match(await fleet.refusedAdmin('fleet', 'pin', made.key), /adit fleet rotate/)
  await fleet.admin('fleet', 'pin', made.key, '--replace')
  assert.equal(await ada.refused(['fleet', 'sign', '--yes', '--key', file, '--passphrase-file', wrong]), 'fleet-key-refused')
  await ada.must(['fleet', 'sign', '--yes', '--key', file, '--passphrase-file', right])
  await until('the device believes it no more', holdsGrants(pump, 0))
  assert.match(await refusal(ann), /does not count here/)

  const agent = ['adit-agent', 'fleet', 'pin', made.key, '--state', pump.state] as const
  const { run } = await import('#test/lab/program.ts')
  const unforced = await run(agent[0], agent.slice(1))
  assert.equal(unforced.status, 3)
  assert.match(unforced.stderr, /Another fleet key is pinned/)
  const forced = await run(agent[0], [...agent.slice(1), '--replace'])
  assert.equal(forced.status, 0, forced.stderr)
  await until('the device believes the new key', holdsGrants(pump, 1))
  assert.equal(await ann.refused(['fleet', 'pin', made.key]), 'fleet-key-refused')
  await ann.must(['fleet', 'pin', made.key, '--replace'])
  assert.match(await ann.must(['fleet', 'show', '--json']), /"own":null/)
  assert.equal((await ann.run(['forward', 'pump', '-L', 'x'])).status, 2, 'it is believed again: only the words are wrong')
})

test('adit fleet rotate hands over to a new key, and nobody has to be visited', async (t) => {
  const { fleet, ada, ann, pump, privateKey } = await scene(t)
  await signAll(ada)
  await until('the grant is at the device', holdsGrants(pump, 1))
  const before = await stateOf(pump)
  const { fingerprint } = JSON.parse(await ada.must(['fleet', 'rotate', '--yes', '--json']))
  assert.notEqual(fingerprint, before.fingerprint)
  await until('the device has followed', async () => (await stateOf(pump)).fingerprint === fingerprint)
  await until('and holds what the new key has signed', holdsGrants(pump, 1))
  assert.equal(await sshSays(ann, privateKey), 'pump')
  assert.deepEqual((await fleet.admin<{ pending: unknown[] }>('fleet', 'pending')).pending, [])
  assert.match(await ada.must(['fleet', 'sign', '--yes', '--json']), /"signed":0/)
  await pump.stop()
  await pump.start()
  assert.equal((await stateOf(pump)).fingerprint, fingerprint, 'on disk, too')
})
