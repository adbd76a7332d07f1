import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { FleetTrust } from '#agent/core/fleet-trust.ts'
import { stationKey } from '#agent/station/io/station-folder.ts'
import { StatementDesk } from '#broker/fleet/statement-desk.ts'
import { StatementSource } from '#broker/fleet/statement-source.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isAditError } from '#shared/errors.ts'
import { type PeerStatement, type Statement, signStatement } from '#shared/fleet/statement.ts'
import { encodeBody } from '#shared/fleet/statement-body.ts'
import { statementWords } from '#shared/fleet/statement-words.ts'
import { days, wallTime } from '#shared/time/instant.ts'
import { deliver, LineFixture, type Terms } from '#test/agent/station/station-fixture.ts'
import { oneDay } from '#test/broker/api/api-fixture.ts'

const admin = suite.ed25519.pair(new Uint8Array(32).fill(7))

/** A fleet under a fleet key, a station of it, and the administrator, who signs what waits. */
async function scene(t: TestContext, { pinned = true, ...terms }: Partial<Terms> & { pinned?: boolean } = {}) {
  const line = await LineFixture.open(t)
  const { registry, fixture } = line
  const { clock, authority } = fixture
  const pin = () => registry.statements.pin(admin.publicKey, 'admin:test')
  if (pinned) await pin()
  const path = await line.init(terms)
  const fleet = authority.fleetId
  const desk = () => new StatementDesk({ registry, fleet, suite, clock })
  const pending = async () => (await desk().pending()).pending
  const waiting = async () => (await pending()).map(({ subject, reason }) => `${subject.split(':')[0]} ${reason}`)
  let version = clock.ms
  const sign = (draft: Statement): Uint8Array => {
    const span = {
      notBefore: wallTime(clock.ms - oneDay),
      notAfter: wallTime(Math.min(draft.notAfter, clock.ms + days(365))),
    }
    version = Math.max(version + 1, clock.ms)
    return signStatement({ ...draft, ...span, version }, { suite, pair: admin })
  }
  const signAll = async (): Promise<void> => {
    const signed = (await pending()).map(({ draft }) => sign(draft))
    if (signed.length > 0) await desk().submit(signed, 'admin:test')
  }
  /** What an end believes, that has pinned the key and is handed what the broker has for the device. */
  const believes = async (name: string): Promise<PeerStatement | undefined> => {
    const device = registry.devices.get(name)
    const source = await StatementSource.open({ registry, authority, suite, clock })
    const time = () => wallTime(clock.ms)
    const trust = new FleetTrust(
      { suite, fleet, tunnelKey: new Uint8Array(32), time },
      { pinned: admin.publicKey, digest: '', ledger: { statements: [], versions: {} } },
    )
    const { digest, statements } = source.forDevice(device)
    trust.take(digest, statements)
    return trust.ledger.peerNamed('device', name)
  }
  const atStations = async () => (await desk().pending()).atStations.map(({ station }) => station)
  return { line, registry, clock, path, pending, waiting, sign, signAll, believes, atStations, desk, fleet, pin }
}

test('D6 one delegation signed, and what the station makes is believed without another signature of the administrator', async (t) => {
  const { line, path, pending, waiting, signAll, believes, atStations, registry } = await scene(t)
  const [only] = await pending()
  assert.match(
    statementWords(only!.draft, suite),
    /^The station line-1 \([0-9a-f]{8}\) may vouch for devices pump-\{n\}, numbers 1 to 500, with no tag but pumps, until 2030-01-31T00:00:00\.000Z, by its key ([0-9a-f]{4} ){7}[0-9a-f]{4}\.$/,
  )
  assert.deepEqual(await waiting(), ['delegation new'])
  await signAll()
  const station = await line.open(path, { mode: 'offline' })
  for (let n = 1; n <= 3; n += 1) await deliver(station, `cpu-${n}`)
  const { vouched, sent } = await station.sync()
  assert.ok(sent > 0)
  assert.deepEqual(vouched, { signed: 3, refused: [] })
  assert.deepEqual(await waiting(), [])
  for (const name of ['pump-1', 'pump-2', 'pump-3']) assert.equal((await believes(name))?.name, name)
  assert.deepEqual((await station.sync()).vouched, { signed: 0, refused: [] }, 'again changes nothing')
  await deliver(station, 'cpu-4')
  const online = await line.open(path)
  assert.equal(await deliver(online, 'cpu-5'), 'pump-5')
  assert.deepEqual(await atStations(), ['line-1'], 'made online: it waits for the station, not for the administrator')
  assert.deepEqual(await online.vouchIfAsked(), { signed: 1, refused: [] })
  assert.equal((await believes('pump-5'))?.name, 'pump-5')
  const rows = await registry.audit.query({ newest: true })
  assert.ok(rows.some(({ action, actor }) => action === 'fleet.sign' && actor === 'station:line-1'))
})

test('D6 until the delegation is signed its devices wait for the administrator, and for nobody once it was', async (t) => {
  const { line, path, waiting, signAll, sign, pending, desk, believes } = await scene(t)
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'cpu-1')
  assert.deepEqual((await station.sync()).vouched, { signed: 0, refused: [] })
  assert.deepEqual(await waiting(), ['delegation new', 'peer new'])
  assert.equal(await believes('pump-1'), undefined)
  await desk().submit([sign((await pending())[0]!.draft)], 'admin:test')
  assert.deepEqual(await waiting(), [], 'it waits for the station from now on')
  assert.deepEqual((await station.sync()).vouched, { signed: 1, refused: [] })
  await signAll()
  assert.equal((await believes('pump-1'))?.name, 'pump-1')
})

test('a fleet without a key hears nothing of it; a station made before the key came tells its own at the next sync', async (t) => {
  const { line, path, waiting, signAll, registry, pin, believes } = await scene(t, { pinned: false })
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'cpu-1')
  assert.deepEqual(Object.keys(await station.sync()).sort(), ['conflicts', 'entries', 'sent'])
  assert.equal(registry.stations.get('line-1').statementKey, undefined)
  assert.deepEqual(await waiting(), ['peer new'])
  await pin()
  await station.sync()
  assert.deepEqual(await waiting(), ['delegation new', 'peer new'])
  await signAll()
  await deliver(station, 'cpu-2')
  assert.deepEqual((await station.sync()).vouched, { signed: 1, refused: [] }, 'for the first one the administrator has vouched')
  for (const name of ['pump-1', 'pump-2']) assert.equal((await believes(name))?.name, name)
})

test('D6 a revoked station: the delegation waits to be withdrawn, and what it alone had signed for the administrator', async (t) => {
  const { line, path, waiting, signAll, believes, registry } = await scene(t)
  await signAll()
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'cpu-1')
  await station.sync()
  assert.equal((await believes('pump-1'))?.name, 'pump-1')
  await registry.stations.revoke('line-1', false, 'admin:test')
  assert.equal(await believes('pump-1'), undefined, 'not handed out any more, signed or not')
  assert.deepEqual(await waiting(), ['delegation gone', 'peer station-over'])
  await assert.rejects(station.vouch(), isAditError)
  await signAll()
  assert.deepEqual(await waiting(), [])
  assert.equal((await believes('pump-1'))?.name, 'pump-1', 'by the word of the administrator')
})

test('D6 a delegation that ends: in its last quarter the administrator is asked, or an extension lets the station sign anew', async (t) => {
  const { line, path, waiting, signAll, believes, clock, registry, sign, pending, desk } = await scene(t)
  await signAll()
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'cpu-1')
  await station.sync()
  clock.forward(20 * oneDay)
  assert.deepEqual(await waiting(), [])
  clock.forward(5 * oneDay)
  assert.deepEqual(await waiting(), ['peer expiring'])
  await registry.stations.extend('line-1', { quota: 600, ttl: 60 * oneDay }, 'admin:test')
  const delegation = (await pending()).find(({ draft }) => draft.kind === 'delegation')
  assert.equal(delegation?.reason, 'changed')
  await desk().submit([sign(delegation.draft)], 'admin:test')
  assert.deepEqual(await waiting(), [], 'it waits for the station')
  assert.deepEqual((await station.sync()).vouched, { signed: 1, refused: [] })
  clock.forward(20 * oneDay)
  assert.equal((await believes('pump-1'))?.name, 'pump-1', 'beyond the end of the first delegation')
  clock.forward(41 * oneDay)
  assert.equal(await believes('pump-1'), undefined)
  assert.deepEqual(await waiting(), ['peer station-over'])
})

test('a new fleet key has the delegation to sign, and nothing that hangs on it', async (t) => {
  const { line, path, signAll, desk, fleet, clock } = await scene(t)
  await signAll()
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'cpu-1')
  await station.sync()
  const { pending } = await desk().pending({ all: true })
  assert.deepEqual(
    pending.map(({ subject }) => subject.split(':')[0]),
    ['delegation'],
  )
  const next = suite.ed25519.pair(new Uint8Array(32).fill(9))
  const span = { notBefore: wallTime(clock.ms - oneDay), notAfter: wallTime(clock.ms + 30 * oneDay) }
  const version = clock.ms + 1_000
  const handOver = signStatement({ ...span, fleet, version, kind: 'key', key: next.publicKey }, { suite, pair: admin })
  const again = signStatement({ ...pending[0]!.draft, ...span, version }, { suite, pair: next })
  await desk().submit([handOver, again], 'admin:test')
  assert.deepEqual((await desk().pending()).pending, [])
  const source = await StatementSource.open({ registry: line.registry, authority: line.fixture.authority, suite, clock })
  const time = () => wallTime(clock.ms)
  const ledger = { statements: [], versions: {} }
  const trust = new FleetTrust({ suite, fleet, tunnelKey: next.publicKey, time }, { pinned: admin.publicKey, digest: '', ledger })
  const set = source.forDevice(line.registry.devices.get('pump-1'))
  trust.take(set.digest, set.statements)
  assert.deepEqual([trust.pinned, trust.ledger.peerNamed('device', 'pump-1')?.name], [next.publicKey, 'pump-1'])
})

test('what is handed in beyond that is refused whole: foreign keys, other devices, what the registry does not say', async (t) => {
  const { line, path, signAll, registry, fleet, clock } = await scene(t)
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'cpu-1')
  await deliver(station, 'cpu-2')
  await assert.rejects(station.broker.handIn([new Uint8Array(3)]), { code: 'fleet-key-refused' }, 'nothing is delegated yet')
  await signAll()
  await station.sync()
  const own = await stationKey(station.parts.folder, 'statement.key', { suite })
  const { publicId: id, tunnelKey, addresses } = registry.devices.get('pump-1')
  const span = { notBefore: wallTime(0), notAfter: wallTime(clock.ms + oneDay), version: clock.ms + 9 }
  const truth: PeerStatement = {
    ...{ fleet, ...span, kind: 'peer', id, name: 'pump-1', role: 'device', addresses, tags: ['pumps'], groups: [] },
    tunnelKey: Uint8Array.from(Buffer.from(tunnelKey!, 'hex')),
  }
  const sign = (change: Partial<PeerStatement>, pair = own) => signStatement({ ...truth, ...change }, { suite, pair })
  const refused: [statement: Uint8Array, why: RegExp][] = [
    [sign({}, admin), /does not count here/],
    [sign({ tunnelKey: new Uint8Array(32).fill(9) }), /not what the registry says of pump-1/],
    [sign({ name: 'pump-3' }), /not what the registry says of pump-3/],
    [sign({ id: 'f'.repeat(32) }), /not what the registry says/],
    [sign({ role: 'operator' }), /may vouch for devices alone/],
    [sign({ notAfter: wallTime(clock.ms + 40 * oneDay) }), /outlives the delegation/],
    [sign({ version: 1 }), /signed before with a higher version/],
  ]
  for (const [statement, why] of refused) {
    await assert.rejects(station.broker.handIn([sign({}), statement]), why)
    assert.equal((await station.broker.waiting()).devices.length, 0)
  }
  await station.broker.handIn([sign({})])
})

test('the administrator comes before the station, whose word on his devices the broker refuses', async (t) => {
  const { line, path, signAll, believes, registry, waiting } = await scene(t)
  await signAll()
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'cpu-1')
  await station.sync()
  const subject = `peer:${registry.devices.get('pump-1').publicId}`
  const before = registry.statements.of(subject)!
  await registry.devices.tag('pump-1', ['roof'], [])
  assert.deepEqual(await waiting(), ['peer changed'], "a tag that the station may not give is the administrator's")
  await signAll()
  assert.deepEqual((await believes('pump-1'))?.tags, ['pumps', 'roof'])
  await assert.rejects(station.broker.handIn([before.bytes]), /the administrator has spoken of pump-1 already/)
  await registry.devices.tag('pump-1', [], ['roof'])
  assert.deepEqual(await waiting(), ['peer changed'], 'for good')
})

test('D6 a stolen broker gets nothing signed but what the ledger says itself, and hears why', async (t) => {
  const { line, path, signAll, registry, fleet } = await scene(t)
  await signAll()
  const station = await line.open(path, { mode: 'offline' })
  for (const serial of ['cpu-1', 'cpu-2', 'cpu-3']) await deliver(station, serial)
  await station.desk.open('cpu-4', 'image')
  await station.desk.bundle('cpu-4')
  await station.sync()
  const { delegation } = await station.broker.waiting()
  const row = registry.devices.get('pump-1')
  const truth: PeerStatement = {
    kind: 'peer',
    fleet,
    version: 0,
    notBefore: wallTime(0),
    notAfter: wallTime(8e15),
    id: row.publicId,
    name: 'pump-1',
    role: 'device',
    tunnelKey: Uint8Array.from(Buffer.from(row.tunnelKey!, 'hex')),
    addresses: row.addresses,
    tags: ['pumps'],
    groups: [],
  }
  const other = Uint8Array.from(Buffer.from(registry.devices.get('pump-2').tunnelKey!, 'hex'))
  const foreign = new Uint8Array(32).fill(9)
  const said: [unit: string | null, draft: Statement, why: RegExp][] = [
    ['cpu-1', { ...truth, tunnelKey: foreign }, /its tunnel key is not the one that the ledger has/],
    ['cpu-1', { ...truth, tunnelKey: undefined }, /its tunnel key is not the one that the ledger has/],
    ['cpu-1', { ...truth, tunnelKey: other }, /its tunnel key is not the one/],
    ['cpu-2', truth, /the ledger gave that name to the board cpu-1/],
    ['cpu-1', { ...truth, name: 'pump-9' }, /the ledger has no board of that name/],
    ['cpu-1', { ...truth, name: 'ada' }, /the ledger has no board of that name/],
    ['cpu-1', { ...truth, role: 'operator' }, /may vouch for devices alone/],
    ['cpu-1', { ...truth, groups: ['staff'] }, /may put nobody into a group/],
    ['cpu-1', { ...truth, tags: ['pumps', 'vault'] }, /may not give the tag vault/],
    ['cpu-1', { ...truth, addresses: [...truth.addresses, '10.0.0.1'] }, /no more than 2 addresses/],
    ['cpu-1', { ...truth, fleet: foreign }, /for another fleet/],
    [null, { ...truth, kind: 'key', key: foreign } as unknown as Statement, /no statement of a device/],
    [null, { ...truth, kind: 'withdrawal', of: 'grant', subject: '1' } as unknown as Statement, /no statement of a device/],
  ]
  const handed: Uint8Array[] = []
  // The thief answers every page with the same devices, for ever.
  const thief = {
    waiting: async () => ({
      delegation,
      devices: said.map(([unit, draft]) => ({ unit, draft: encodeBody(fieldsOf(draft)) })),
      last: 'pump-9',
    }),
    handIn: async (statements: readonly Uint8Array[]) => void handed.push(...statements),
  }
  Object.assign(station.broker, thief)
  const { signed, refused } = await station.vouch()
  assert.deepEqual([signed, handed.length], [0, 0])
  assert.deepEqual(
    refused.map(({ why }, at) => said[at]?.[2].test(why) || why),
    said.map(() => true),
  )
  Object.assign(station.broker, {
    waiting: async () => ({ delegation, devices: [{ unit: 'cpu-1', draft: new Uint8Array(9) }], last: 'a' }),
  })
  assert.match((await station.vouch()).refused[0]?.why ?? '', /no statement of a device/)
  // What is not delivered may still get other keys: it waits.
  const waits = { ...truth, name: 'pump-4' }
  Object.assign(station.broker, {
    waiting: async () => ({ delegation, devices: [{ unit: 'cpu-4', draft: encodeBody(waits) }], last: 'a' }),
  })
  assert.deepEqual(await station.vouch(), { signed: 0, refused: [] })
  Object.assign(station.broker, {
    waiting: async () => ({ delegation, devices: [{ unit: 'cpu-1', draft: encodeBody(truth) }], last: 'a' }),
  })
  assert.deepEqual(await station.vouch(), { signed: 1, refused: [] })
  assert.equal(handed.length, 1)
})

/** Only the fields of its kind. */
function fieldsOf(statement: Statement): Statement {
  if (statement.kind === 'peer') return statement
  const { fleet, version, notBefore, notAfter, kind } = statement
  const own = kind === 'key' ? { key: statement.key } : { of: 'grant', subject: '1' }
  return { fleet, version, notBefore, notAfter, kind, ...own } as Statement
}
