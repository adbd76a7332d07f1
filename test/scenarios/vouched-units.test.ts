import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { LoginShell } from '#sim/login-shell.ts'
import { Device, Fleet, type Operator } from '#test/lab/fleet.ts'
import { type Finished, type JsonEvent, run } from '#test/lab/program.ts'

const patienceMs = 60_000

interface Sync extends JsonEvent {
  vouched?: { signed: number; refused: { unit: string | null; name: string; why: string }[] }
}

/** A fleet under a fleet key with a factory line; ada is its administrator and signs, ann may reach ssh of whatever is tagged `pumps`. */
async function scene(t: TestContext) {
  const fleet = await Fleet.start(t)
  const keyFile = join(fleet.folder, 'ann-key')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keyFile])
  const authorizedKeys = [readFileSync(`${keyFile}.pub`, 'latin1').trim()]
  const shell = new LoginShell({ hostName: 'unit', authorizedKeys, uptimeSeconds: () => 1, readings: () => [] })
  t.after(() => shell.close())
  const server = createServer((socket) => shell.accept(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo

  const ada = await fleet.operator('ada', '--admin')
  const { key } = JSON.parse(await ada.must(['fleet', 'init', '--json']))
  await fleet.admin('fleet', 'pin', key)
  const ann = await fleet.operator('ann')
  await fleet.admin('grant', 'add', '--operator', 'ann', '--tag', 'pumps', '--port', '22')
  const right = ['--name', 'line-1', '--names', 'pump-{n}', '--tag', 'pumps', '--quota', '9', '--ttl', '30d']
  const { claim } = await fleet.admin<{ claim: string }>('station', 'authorize', ...right)

  const station = async <Said = JsonEvent>(...words: string[]): Promise<Said> => {
    const finished = await run('adit', ['station', ...words, '--state', join(fleet.folder, 'line'), '--json'])
    assert.equal(finished.status, 0, finished.stderr)
    return JSON.parse(finished.stdout.trim().split('\n').at(-1)!) as Said
  }
  await station('init', '--claim', claim)
  const cards = join(fleet.folder, 'cards')
  /** Boards of a shift without a network, each on its card. */
  const makeOffline = async (...serials: string[]): Promise<void> => {
    for (const serial of serials) mkdirSync(join(cards, serial), { recursive: true })
    const list = join(fleet.folder, 'boards.csv')
    writeFileSync(list, serials.join('\n'))
    await station('batch', '--csv', list, '--into', join(cards, '{serial}'), '--offline')
  }
  /** The board's first power-on, in the field. */
  const unpack = async (serial: string, name: string): Promise<Device> => {
    const device = new Device(name, join(fleet.folder, name), { services: [`ssh=127.0.0.1:${port}`] })
    t.after(() => device.stop())
    const adopted = await run('adit-agent', ['adopt', '--from', join(cards, serial), '--state', device.state])
    assert.equal(adopted.status, 0, adopted.stderr)
    await device.start()
    return device
  }
  const ssh = (operator: Operator, name: string): Promise<Finished> =>
    operator.run(['ssh', '-F', 'none', '-i', keyFile, `pi@${name}`, '--', 'hostname'], { timeoutMs: patienceMs })
  const reaches = async (name: string): Promise<void> => {
    const { status, stdout, stderr } = await ssh(ann, name)
    assert.deepEqual([status, stdout.trim()], [0, 'unit'], stderr)
  }
  const signAll = (): Promise<string> => ada.must(['fleet', 'sign', '--yes', '--json'])
  return { fleet, ada, ann, station, makeOffline, unpack, ssh, reaches, signAll }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + patienceMs; !(await holds()); await wait(50)) assert.ok(performance.now() < end, what)
}

const lastRefusal = async (device: Device): Promise<string> =>
  (await device.status<{ fleet: { lastRefusedStatement: string | null } }>()).fleet.lastRefusedStatement ?? ''

/** Of all that waits the administrator signs only that the delegation holds no more. */
async function signWithdrawalAlone(fleet: Fleet, ada: Operator): Promise<void> {
  const document = await fleet.admin<{ pending: { subject: string }[] }>('fleet', 'pending')
  const pending = document.pending.filter(({ subject }) => subject.startsWith('delegation:'))
  assert.equal(pending.length, 1)
  const [from, to] = [join(fleet.folder, 'pending.json'), join(fleet.folder, 'signed.json')]
  writeFileSync(from, JSON.stringify({ ...document, pending }))
  await ada.must(['fleet', 'sign', '--yes', '--in', from, '--out', to])
  assert.equal((await fleet.admin<{ taken: number }>('fleet', 'import', to)).taken, 1)
}

interface StatementRow {
  subject: string
  version: number
  not_after: number
  bytes: Uint8Array
}

/** What the thief has kept of the broker's files. */
async function rowsOf({ data }: Fleet): Promise<StatementRow[]> {
  const database = await openDatabase(join(data, 'adit.db'))
  const rows = await database.read<StatementRow>(
    "SELECT * FROM statements WHERE subject LIKE 'delegation:%' OR subject LIKE 'peer:%'",
  )
  await database.close()
  return rows
}

/** The station that was revoked is none that was, and the fleet key's old word stands where its last one was. */
async function playBack(fleet: Fleet, rows: readonly StatementRow[]): Promise<void> {
  await fleet.broker.stop()
  const database = await openDatabase(join(fleet.data, 'adit.db'))
  for (const { subject, version, not_after, bytes } of rows)
    await database.write('UPDATE statements SET version = ?, not_after = ?, bytes = ? WHERE subject = ?', [
      version,
      not_after,
      bytes,
      subject,
    ])
  await database.write('UPDATE delegations SET revoked_at = NULL', [])
  await database.write("UPDATE principals SET revoked_at = NULL WHERE kind = 'station'", [])
  await database.close()
  await fleet.startBroker()
}

/**
 * What the thief does with the files of a broker that stands still: in the registry the device has her tunnel key, and so has the copy of its
 * certificate by which the broker would see that its station has certified another one.
 */
async function swapTunnelKey(fleet: Fleet, name: string, hers: Buffer): Promise<void> {
  await fleet.broker.stop()
  const database = await openDatabase(join(fleet.data, 'adit.db'))
  const where = "kind = 'tunnel' AND principal_id = (SELECT id FROM principals WHERE name = ?)"
  const [key] = await database.read<{ value: string }>(`SELECT value FROM keys WHERE ${where}`, [name])
  const [unit] = await database.read<{ der: Uint8Array }>('SELECT der FROM station_units WHERE name = ?', [name])
  assert.ok(key && unit)
  const der = Buffer.from(unit.der)
  hers.copy(der, der.indexOf(Buffer.from(key.value, 'hex')))
  await database.write(`UPDATE keys SET value = ? WHERE ${where}`, [hers.toString('hex'), name])
  await database.write('UPDATE station_units SET der = ? WHERE name = ?', [der, name])
  await database.close()
  await fleet.startBroker()
}

test('D6 one delegation signed: what a line makes offline is reached by adit ssh, and nobody signs again', async (t) => {
  const { fleet, ada, ann, station, makeOffline, unpack, ssh, reaches, signAll } = await scene(t)
  const shown = await fleet.adminSays('fleet', 'pending')
  assert.match(
    shown,
    /new +The station line-1 .* may vouch for devices pump-\{n\}, numbers 1 to 9, with no tag but pumps, until /,
  )
  const { statementKey } = await station<{ statementKey: string }>('status')
  assert.ok(shown.includes(statementKey), 'the station shows the same key, to compare')
  await signAll()
  await makeOffline('cpu-1', 'cpu-2')
  assert.deepEqual((await station<Sync>('sync')).vouched, { signed: 2, refused: [] })
  assert.match(await fleet.adminSays('fleet', 'status'), /station line-1 +vouches for its devices until /)

  const pump = await unpack('cpu-1', 'pump-1')
  const second = await unpack('cpu-2', 'pump-2')
  for (const device of [pump, second]) {
    await reaches(device.name)
    await reaches(device.name)
  }

  const before = await rowsOf(fleet)
  // Revoked, the station's word is worth nothing; the administrator may give his own.
  await fleet.admin('station', 'revoke', 'line-1')
  const { status, stderr } = await ssh(ann, 'pump-1')
  assert.notEqual(status, 0, stderr)
  assert.match(stderr, /\(statement-refused\)/)
  await signWithdrawalAlone(fleet, ada)
  assert.notEqual((await ssh(ann, 'pump-1')).status, 0)
  await playBack(fleet, before)
  const again = await ssh(ann, 'pump-1')
  assert.notEqual(again.status, 0, 'the thief has put the delegation back: whoever has heard of its end believes it no more')
  assert.match(again.stderr, /\(statement-refused\)/)
  assert.match(await fleet.adminSays('fleet', 'status'), /station line-1 +vouches/, 'though the broker says so')
  await until('the device has refused it too', async () => /delegation|does not count/.test(await lastRefusal(pump)))
  await fleet.admin('station', 'revoke', 'line-1')

  const pending = await fleet.adminSays('fleet', 'pending')
  assert.match(pending, /gone .*What was said of delegation/)
  assert.match(pending, /station-over {2}The device pump-1 /)
  await signAll()
  await reaches('pump-1')
  assert.match(await ada.must(['fleet', 'sign', '--yes', '--json']), /"signed":0/)
})

test('D6 a stolen broker that offers the station a foreign key is refused by name, and opens nothing', async (t) => {
  const { fleet, station, makeOffline, unpack, ssh, ann, reaches, signAll } = await scene(t)
  await signAll()
  await makeOffline('cpu-1', 'cpu-2')
  // The units call before their station has told of them, so that the thief has them in the registry when the station asks.
  await unpack('cpu-1', 'pump-1')
  await unpack('cpu-2', 'pump-2')
  await swapTunnelKey(fleet, 'pump-1', Buffer.alloc(32, 7))
  const why = 'its tunnel key is not the one that the ledger has'
  const refused = [{ unit: 'cpu-1', name: 'pump-1', why }]
  assert.deepEqual((await station<Sync>('sync')).vouched, { signed: 1, refused })
  // Whatever the device has heard by now: what ann shows it is enough.
  await reaches('pump-2')
  const { status, stderr } = await ssh(ann, 'pump-1')
  assert.notEqual(status, 0)
  assert.match(stderr, /\(statement-refused\)/)
  assert.deepEqual((await station<Sync>('sync')).vouched, { signed: 0, refused }, 'again and again')
})
