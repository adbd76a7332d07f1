import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { chmod, cp, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { initStation } from '#agent/station/io/init-station.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { createRequest } from '#shared/pki/request.ts'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { deliver, LineFixture } from '#test/agent/station/station-fixture.ts'
import { oneDay } from '#test/broker/api/api-fixture.ts'

test('a station issues through the broker while it answers, and the ledger says so', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init())
  assert.equal(station.desk.online, true)
  // What the broker itself signs may outlive the window.
  line.fixture.clock.forward(60_000)
  assert.equal(await deliver(station, 'CPU-1'), 'pump-1')
  assert.equal(await deliver(station, 'cpu-2'), 'pump-2')
  const device = line.registry.devices.get('pump-1')
  assert.deepEqual(device.tags, ['pumps'])
  assert.notEqual(device.tunnelKey, undefined)
  const synced = await station.sync()
  assert.deepEqual({ ...synced, sent: synced.sent > 0 }, { sent: true, entries: 8, conflicts: 0 })
  assert.deepEqual(await station.sync(), { sent: 0, entries: 8, conflicts: 0 })
  const proof = await station.verify()
  assert.deepEqual({ ...proof, seals: 0 }, { entries: 8, seals: 0, units: 2, certificates: 2, delivered: 2, scrapped: 0 })
  const shown = await line.registry.stationUnits.list(line.registry.stations.get('line-1'))
  assert.deepEqual(shown.map(({ unit, name, state }) => [unit, name, state]).sort(), [
    ['cpu-1', 'pump-1', 'delivered'],
    ['cpu-2', 'pump-2', 'delivered'],
  ])
})

test('offline it issues by itself; the broker takes it at the sync, with the tags of the delegation', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init(), { mode: 'offline' })
  for (let n = 1; n <= 5; n += 1) await deliver(station, `cpu-${n}`)
  assert.equal((await station.desk.count()).unsynced, 5)
  assert.equal([...line.registry.directory.all('device')].length, 0)
  const { conflicts } = await station.sync()
  assert.equal(conflicts, 0)
  assert.deepEqual(
    [...line.registry.directory.all('device')].map(({ name, tags }) => [name, tags]),
    [1, 2, 3, 4, 5].map((n) => [`pump-${n}`, ['pumps']]),
  )
  assert.equal((await station.desk.count()).unsynced, 0)
  await station.verify()
})

test('a unit that calls before its station has told of it is taken in, once', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init(), { mode: 'offline' })
  await station.desk.open('cpu-1', 'image')
  const bundle = await station.desk.bundle('cpu-1')
  const ask = () => line.fixture.ask('/v1/agent/config', { as: { key: bundle.identityPem, cert: bundle.chain } })
  const answer = await ask()
  assert.equal(answer.status, 200)
  assert.equal(answer.json.name, 'pump-1')
  const { publicId } = line.registry.devices.get('pump-1')
  await station.desk.delivered('cpu-1', 'test')
  await station.sync()
  assert.equal(line.registry.devices.get('pump-1').publicId, publicId)
  assert.equal((await ask()).status, 200)
  assert.equal((await line.registry.stationUnits.conflicts({ all: true })).length, 0)
})

test('A-43 two stations make one board: both records are kept and shown, and nobody is overwritten', async (t) => {
  const line = await LineFixture.open(t)
  const one = await line.open(await line.init(), { mode: 'offline' })
  const two = await line.open(await line.init({ name: 'line-2' }), { mode: 'offline' })
  assert.equal(two.parts.own.delegation.first, 501)
  await deliver(one, 'board-7')
  await deliver(two, 'board-7')
  await one.sync()
  const { conflicts } = await two.sync()
  assert.equal(conflicts, 1)
  const [conflict] = await line.registry.stationUnits.conflicts({ all: false })
  assert.equal(conflict?.kind, 'serial-twice')
  assert.deepEqual([conflict?.ours.station, conflict?.ours.name, conflict?.ours.unit], ['line-2', 'pump-501', 'board-7'])
  assert.deepEqual([conflict?.other.station, conflict?.other.name, conflict?.other.unit], ['line-1', 'pump-1', 'board-7'])
  assert.equal(line.registry.directory.byName('device', 'pump-501'), undefined)
  assert.equal(line.registry.devices.get('pump-1').revokedAt, undefined)
})

test('a refused unit comes in when what stood against it is gone', async (t) => {
  const line = await LineFixture.open(t)
  const one = await line.open(await line.init(), { mode: 'offline' })
  const two = await line.open(await line.init({ name: 'line-2' }), { mode: 'offline' })
  await deliver(one, 'board-7')
  await two.desk.open('board-7', 'image')
  const bundle = await two.desk.bundle('board-7')
  await one.sync()
  await two.sync()
  const ask = () => line.fixture.ask('/v1/agent/config', { as: { key: bundle.identityPem, cert: bundle.chain } })
  assert.equal((await ask()).status, 403)
  await one.desk.scrap('board-7', 'the card was bad')
  await one.sync()
  assert.notEqual(line.registry.devices.get('pump-1').revokedAt, undefined)
  assert.equal((await ask()).status, 200)
  const [solved] = await line.registry.stationUnits.conflicts({ all: true })
  assert.notEqual(solved?.solvedAt, undefined)
})

test('a name that was taken meanwhile, and a quota that was overrun by a copied key, are conflicts', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init({ quota: 2 })
  const copy = await line.folder()
  await cp(path, copy, { recursive: true })
  const station = await line.open(path, { mode: 'offline' })
  const thief = await line.open(copy, { mode: 'offline' })
  await line.fixture.enrol('device', { name: 'pump-1' })
  await deliver(station, 'board-1')
  await deliver(station, 'board-2')
  await assert.rejects(station.desk.open('board-3', 'image'), { code: 'quota-exhausted' })
  await station.sync()
  const kinds = async () => (await line.registry.stationUnits.conflicts({ all: false })).map(({ kind }) => kind)
  assert.deepEqual(await kinds(), ['name-taken'])
  const [misfit, ...others] = await station.broker.misfits()
  assert.deepEqual([misfit?.unit, misfit?.name, misfit?.kind, others], ['board-1', 'pump-1', 'name-taken', []])
  assert.match(`${misfit?.against} ${misfit?.mend}`, /pump-1.*adit-broker device revoke/, 'the line hears what stands against it')
  // The copy of the folder holds the same CA: its ledger is another one, and what it signs is over the quota.
  await thief.desk.open('board-8', 'image', { name: 'pump-1' })
  await thief.desk.open('board-9', 'image', { name: 'pump-2' })
  const stolen = await thief.desk.bundle('board-9')
  const answer = await line.fixture.ask('/v1/agent/config', { as: { key: stolen.identityPem, cert: stolen.chain } })
  assert.equal(answer.status, 403)
  assert.deepEqual(await kinds(), ['name-taken', 'name-taken'])
  await thief.desk.delivered('board-9', 'test')
  await assert.rejects(thief.sync(), { code: 'ledger-forked' })
  const forks = await line.registry.audit.query({ limit: 100 })
  assert.ok(forks.some(({ action }) => action === 'station.forked'))
})

test('A-41 a revoked station: what it issues is refused at once, what was known stays, and goes only if asked', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init(), { mode: 'offline' })
  const bundles = []
  for (const serial of ['board-1', 'board-2']) {
    await station.desk.open(serial, 'image')
    bundles.push(await station.desk.bundle(serial))
    if (serial === 'board-1') await station.sync()
  }
  const [known, unknown] = bundles.map((bundle) => ({ key: bundle.identityPem, cert: bundle.chain }))
  await line.registry.stations.revoke('line-1', false, 'admin:test')
  assert.equal((await line.fixture.ask('/v1/agent/config', { as: known! })).status, 200)
  assert.equal((await line.fixture.ask('/v1/agent/config', { as: unknown! })).status, 403)
  await assert.rejects(station.sync(), { code: 'certificate-refused' })
  await line.registry.stations.revoke('line-1', true, 'admin:test')
  assert.equal((await line.fixture.ask('/v1/agent/config', { as: known! })).status, 403)
})

test('A-36 a station is no device, no operator and no CA for anything but devices', async (t) => {
  const line = await LineFixture.open(t)
  const { parts } = await line.open(await line.init())
  const { identityPem: key = '' } = parts.identity.keys
  const chain = (await parts.identity.folder.certificates())?.chain ?? ''
  for (const path of ['/v1/agent/config', '/v1/devices', '/v1/audit'])
    assert.equal((await line.fixture.ask(path, { as: { key, cert: chain } })).status, 403, path)
  const device = await line.fixture.enrol('device', { name: 'other' })
  assert.equal((await line.fixture.ask('/v1/station?entries=0', { as: device })).status, 403)
})

test('after the window nothing is issued, online or offline, and a longer clock does not help', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init({ ttl: 3_600_000 })
  const station = await line.open(path, { mode: 'offline' })
  await station.desk.open('board-1', 'image')
  line.fixture.clock.forward(3_600_001)
  await assert.rejects(station.desk.bundle('board-1'), { code: 'delegation-over' })
  await assert.rejects(station.desk.open('board-2', 'image'), { code: 'delegation-over' })
})

test('A-46 an answer that is lost mints nothing twice: the same keys are certified again, or by the station, and one counts', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init())
  const { broker } = station
  const unit = broker.unit.bind(broker)
  let asked = 0
  const lost = async (...words: Parameters<typeof unit>): Promise<never> => {
    asked += 1
    await unit(...words)
    throw new AditError('broker-unreachable', 'The answer was lost.', 'Try again.')
  }
  await station.desk.open('board-1', 'image')
  broker.unit = lost
  const bundle = await station.desk.bundle('board-1')
  assert.equal(asked, 1)
  assert.equal(station.desk.online, false)
  assert.equal(decodePem('CERTIFICATE', bundle.chain).length, 3)
  broker.unit = unit
  station.desk.setMode(true, 'test')
  assert.equal((await station.desk.bundle('board-1')).chain, bundle.chain)
  await station.desk.delivered('board-1', 'test')
  const { conflicts } = await station.sync()
  assert.equal(conflicts, 0)
  const rows = await line.registry.stationUnits.list(line.registry.stations.get('line-1'))
  assert.deepEqual(rows.map(({ state }) => state).sort(), ['delivered', 'replaced'])
  assert.equal(new Set(rows.map(({ spki }) => spki)).size, 1)
  assert.equal([...line.registry.directory.all('device')].length, 1)
  assert.equal((await station.verify()).certificates, 1)
})

test('P-19 one board from many hands at once, in two processes of one station, has one name and one certificate', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init()
  const one = await line.open(path, { mode: 'offline' })
  const two = await line.open(path, { mode: 'offline' })
  const hands = Array.from({ length: 32 }, (_, n) => (n % 2 === 0 ? one : two))
  const names = await Promise.all(hands.map(async ({ desk }) => (await desk.open('board-1', 'image')).name))
  assert.deepEqual(new Set(names), new Set(['pump-1']))
  await Promise.all(hands.map(({ desk }, n) => desk.open(`other-${n}`, 'image')))
  const chains = await Promise.all(hands.map(async ({ desk }) => (await desk.bundle('board-1')).chain))
  assert.equal(new Set(chains).size, 1)
  const proof = await one.verify()
  assert.deepEqual([proof.units, proof.certificates], [33, 1])
})

test('P-19 two processes of one station ask the broker for one board: one key, one certificate, and they fit', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init()
  const [one, two] = [await line.open(path), await line.open(path)]
  for (let round = 1; round <= 8; round++) {
    const serial = `board-${round}`
    await one.desk.open(serial, 'image')
    // It has read all entries there are: what follows are keys, which are in none.
    await two.desk.record(serial)
    const bundles = await Promise.all([one, two, one, two].map(({ desk }) => desk.bundle(serial)))
    for (const { chain, identityPem } of bundles) {
      const { publicKey } = new X509Certificate(chain)
      assert.ok(publicKey.equals(createPublicKey(identityPem)), 'the certificate is of the key beside it')
    }
    assert.equal(new Set(bundles.map(({ chain }) => chain)).size, 1)
  }
  assert.equal((await two.verify()).certificates, 8)
  await two.sync()
  assert.equal((await line.registry.stationUnits.conflicts({ all: true })).length, 0)
  assert.equal([...line.registry.directory.all('device')].filter(({ revokedAt }) => revokedAt === undefined).length, 8)
})

test('a board that makes its own key has one certificate for it, and after delivery no other', async (t) => {
  const line = await LineFixture.open(t)
  const { desk } = await line.open(await line.init(), { mode: 'offline' })
  await desk.open('board-1', 'network')
  const requestOf = () => {
    const tunnel = { pair: suite.x25519.generate(), enrolmentKey: desk.enrolmentKey }
    return createRequest({ name: 'whoever', identity: suite.ecdsaP256.generate(), tunnel }, suite)
  }
  const [first, second] = [requestOf(), requestOf()]
  const { chain, name } = await desk.certify('board-1', first)
  assert.equal(name, 'pump-1')
  assert.equal((await desk.certify('board-1', first)).chain, chain)
  const replaced = await desk.certify('board-1', second)
  assert.notEqual(replaced.chain, chain)
  await desk.delivered('board-1', 'test')
  await assert.rejects(desk.certify('board-1', first), { code: 'unit-delivered' })
  assert.equal((await desk.certify('board-1', second)).chain, replaced.chain)
})

test('the keys of a unit are gone from the folder once it is delivered', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init()
  const { desk, ledger } = await line.open(path, { mode: 'offline' })
  await desk.open('board-1', 'image')
  const { tunnelKey } = await desk.bundle('board-1')
  assert.deepEqual(await ledger.secretUnits(), ['board-1'])
  await desk.delivered('board-1', 'test')
  assert.deepEqual(await ledger.secretUnits(), [])
  await assert.rejects(desk.bundle('board-1'), { code: 'unit-delivered' })
  await ledger.close()
  for (const name of await readdir(path))
    assert.equal((await readFile(join(path, name))).includes(Buffer.from(tunnelKey)), false, name)
})

test('P-32 a station whose secrets others can read does not start, whatever the umask was', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init()
  for (const name of ['delegation.key', 'enrolment.key', 'identity.key', 'ledger.db']) {
    const file = join(path, name)
    assert.equal((await stat(file)).mode & 0o777, 0o600, name)
    for (const bit of [0o040, 0o020, 0o010, 0o004, 0o002, 0o001]) {
      await chmod(file, 0o600 | bit)
      await assert.rejects(line.open(path, { mode: 'offline' }), { code: 'permission-unsafe' }, `${name} ${bit.toString(8)}`)
    }
    await chmod(file, 0o600)
  }
  const { desk } = await line.open(path, { mode: 'offline' })
  assert.equal(desk.station, 'line-1')
})

test('verify names the first entry that is not as it was written', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init()
  const station = await line.open(path, { mode: 'offline' })
  for (let n = 1; n <= 3; n += 1) await deliver(station, `board-${n}`)
  await station.close()
  const spoil = async (statement: string, expected: RegExp): Promise<void> => {
    const copy = await line.folder()
    await cp(path, copy, { recursive: true })
    const database = await openDatabase(join(copy, 'ledger.db'))
    await database.write(statement)
    await database.close()
    const proving = line.open(copy, { mode: 'offline' }).then((spoilt) => spoilt.verify())
    await assert.rejects(proving, { code: 'ledger-damaged', message: expected })
  }
  await spoil('UPDATE entry SET hash = zeroblob(32) WHERE number = 5', /entry 5 does not follow/)
  await spoil('DELETE FROM entry WHERE number = 4', /entry 4 is missing/)
  await spoil('DELETE FROM entry WHERE number > 9', /behind 9 are missing/)
  await spoil('DELETE FROM seal WHERE number > 7', /under no seal/)
  await spoil('UPDATE seal SET signature = (SELECT signature FROM seal LIMIT 1) WHERE number = 11', /seal at entry 11/)
  await spoil("INSERT INTO secret VALUES ('board-1', x'00')", /keys of board-1/)
})

test('a scrapped unit is replaced by another; the reason is kept, and its name is not given again', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init(), { mode: 'offline' })
  await deliver(station, 'board-1')
  await station.desk.scrap('board-1', 'dead flash')
  const record = await station.desk.open('board-2', 'image', { replaces: 'board-1' })
  assert.deepEqual([record.name, record.replaces], ['pump-2', 'board-1'])
  assert.equal((await station.desk.record('board-1'))?.scrappedFor, 'dead flash')
  await assert.rejects(station.desk.open('board-1', 'image'), { code: 'unit-scrapped' })
  await assert.rejects(station.desk.open('board-3', 'image', { name: 'pump-1' }), { code: 'name-taken' })
  await assert.rejects(station.desk.open('board-3', 'image', { name: 'gauge-1' }), { code: 'outside-scope' })
})

test('a number that was scanned twice costs no second unit its identity; a replacement may be said again', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init(), { mode: 'offline' })
  const { desk } = station
  for (const serial of ['board-1', 'board-2', 'board-3']) await deliver(station, serial)
  const replace = async (old: string, by: string) => {
    await desk.scrap(old, 'dead flash', by)
    return (await desk.open(by, 'image', { replaces: old })).name
  }
  await assert.rejects(replace('board-1', 'board-2'), {
    code: 'unit-delivered',
    message: /board-2 is pump-2 already; board-1 is left/,
  })
  assert.equal((await desk.record('board-1'))?.step, 'delivered')
  assert.equal(await replace('board-1', 'board-4'), 'pump-4')
  assert.equal(await replace('board-1', 'board-4'), 'pump-4', 'after an interruption')
  await assert.rejects(replace('board-2', 'board-4'), { code: 'unit-delivered', message: /in the place of board-1/ })
  await assert.rejects(replace('board-1', 'board-5'), { code: 'unit-scrapped', mend: /adit station replace board-4 --by/ })
  await desk.bundle('board-4')
  await desk.delivered('board-4', 'test')
  await assert.rejects(replace('board-3', 'board-4'), { code: 'unit-delivered' })
  await assert.rejects(replace('board-3', 'board-1'), { code: 'unit-scrapped' })
  assert.equal((await desk.record('board-3'))?.step, 'delivered')
  assert.equal(await replace('board-4', 'board-5'), 'pump-5')
  assert.equal((await desk.count()).scrapped, 2)
})

test('a batch is counted from where the ledger stands, and boards of it that were delivered before are not awaited', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init(), { mode: 'offline' })
  const { desk } = station
  assert.equal((await desk.count()).planned, undefined)
  for (const serial of ['board-1', 'board-2']) await deliver(station, serial)
  await desk.plan([{ serial: 'board-2' }, { serial: 'board-3' }])
  const { delivered, planned } = await desk.count()
  assert.deepEqual([delivered, planned], [2, 3])
  await deliver(station, 'board-3')
  assert.equal((await desk.count()).delivered, 3)
  await desk.plan(30)
  assert.equal((await desk.count()).planned, 33)
})

test('a claim that made a station already points at its folder, and at what makes another station', async (t) => {
  const line = await LineFixture.open(t)
  const token = await line.claim()
  const first = await line.folder()
  const init = async (path: string) => (await initStation({ ...line.ports(), path, token })).identity.close()
  await init(first)
  await init(first)
  const mend = /adit station status --state DIR.*adit-broker station authorize/
  await assert.rejects(init(await line.folder()), { code: 'claim-used', mend })
})

test('a station renews its own certificate in time, and after a long rest', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init({ ttl: 200 * oneDay })
  const lives: number[] = []
  for (const rest of [0, 25, 60]) {
    line.fixture.clock.forward(rest * oneDay)
    const station = await line.open(path)
    assert.equal(station.desk.online, true, `after ${rest} days`)
    await deliver(station, `board-${rest}`)
    await station.sync()
    lives.push(station.parts.identity.leaf.notAfter)
    await station.close()
  }
  assert.equal(new Set(lives).size, 3)
})
