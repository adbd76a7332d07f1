import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { cp } from 'node:fs/promises'
import test from 'node:test'
import type { OpenStation } from '#agent/station/io/open-station.ts'
import { AditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { deliver, LineFixture } from '#test/agent/station/station-fixture.ts'
import { oneDay } from '#test/broker/api/api-fixture.ts'

const extend = (line: LineFixture, asked: { quota?: number; ttl?: number }, name = 'line-1') =>
  line.registry.stations.extend(name, asked, 'admin:test')

const rotate = async (line: LineFixture, ...phases: ('prepared' | 'trusted' | 'issuing' | 'retired' | 'finished')[]) => {
  const { rotation } = line.fixture.authority
  for (const phase of phases) await (phase === 'prepared' ? rotation.prepare('device') : rotation.advance('device', phase))
}

const audited = async (line: LineFixture, action: string) =>
  (await line.registry.audit.query({ limit: 500 })).filter((entry) => entry.action === action)

/** Subject and issuer of the station's own CA, as OpenSSL reads them. */
const caOf = ({ parts }: OpenStation) => new X509Certificate(parts.own.ca.certificate.der)

test('a station is given more certificates and more time: it hears of it at its sync, with the same key, and counts on', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init({ quota: 2, ttl: 10 * oneDay })
  const station = await line.open(path, { mode: 'offline' })
  await deliver(station, 'board-1')
  await deliver(station, 'board-2')
  await assert.rejects(deliver(station, 'board-3'), { code: 'quota-exhausted', mend: /station extend/ })
  const before = caOf(station)
  const extended = await extend(line, { quota: 4, ttl: 40 * oneDay })
  assert.deepEqual([extended.first, extended.last, extended.quota], [1, 4, 4])
  // What the registry says is nothing that the station's own CA may do yet.
  await assert.rejects(deliver(station, 'board-3'), { code: 'quota-exhausted' })
  assert.equal((await station.sync()).conflicts, 0)
  const after = caOf(station)
  assert.deepEqual([after.subject, after.publicKey.equals(before.publicKey)], [before.subject, true])
  assert.notEqual(after.serialNumber, before.serialNumber)
  const count = await station.desk.count()
  assert.deepEqual([count.delivered, count.quotaLeft, count.until > Date.parse(before.validTo)], [2, 2, true])
  line.fixture.clock.forward(20 * oneDay)
  assert.deepEqual([await deliver(station, 'board-3'), await deliver(station, 'board-4')], ['pump-3', 'pump-4'])
  await assert.rejects(deliver(station, 'board-5'), { code: 'quota-exhausted' })
  assert.deepEqual(await station.sync().then(({ conflicts }) => conflicts), 0)
  const [row] = [...line.registry.stations.all()]
  const { certificates, delivered } = await line.registry.stationUnits.counts(row!)
  assert.deepEqual([certificates, delivered, row?.formerCas.length], [4, 4, 1])
  assert.deepEqual(await station.verify().then(({ units, certificates: n }) => [units, n]), [4, 4])
  assert.equal(await station.renewDelegation(), false)
  assert.deepEqual([(await audited(line, 'station.extend')).length, (await audited(line, 'station.delegate')).length], [1, 2])
  const again = await line.open(path, { mode: 'offline' })
  assert.equal(caOf(again).serialNumber, after.serialNumber, 'it is on disk')
})

test('a window that is over opens again; a revoked station’s does not', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init({ ttl: 2 * oneDay }), { mode: 'offline' })
  line.fixture.clock.forward(3 * oneDay)
  await assert.rejects(deliver(station, 'board-1'), { code: 'delegation-over', mend: /station extend/ })
  await station.sync()
  await extend(line, { ttl: 5 * oneDay })
  assert.equal(await station.renewDelegation(), true)
  await deliver(station, 'board-1')
  assert.equal((await station.sync()).conflicts, 0)
  await line.registry.stations.revoke('line-1', false, 'admin:test')
  await assert.rejects(extend(line, { ttl: 50 * oneDay }), { code: 'revoked' })
  await assert.rejects(station.renewDelegation(), { code: 'certificate-refused' })
})

test('an extension takes nothing away, and no numbers that are somebody’s', async (t) => {
  const line = await LineFixture.open(t)
  await line.init({ quota: 10 })
  for (const asked of [{}, { quota: 9 }, { quota: 10 }, { quota: 1_000_001 }, { quota: 10.5 }, { ttl: oneDay }])
    await assert.rejects(extend(line, asked), { code: 'usage' }, JSON.stringify(asked))
  await assert.rejects(extend(line, { quota: 20 }, 'line-9'), { code: 'not-found' })
  await line.fixture.enrol('device', { name: 'pump-15' })
  assert.equal((await extend(line, { quota: 14 })).last, 14)
  await assert.rejects(extend(line, { quota: 15 }), { code: 'name-taken', message: /device pump-15/ })
  await line.init({ name: 'line-2', quota: 10 })
  await assert.rejects(extend(line, { quota: 17 }), {
    code: 'name-taken',
    message: /numbers 15 to 17 of pump-\{n\}: 15 is the device pump-15, 16 to 25 are those of station line-2\.$/,
    mend: /For all 3, authorise a second station .* begin at 26: adit-broker station authorize --name line-1-b --names 'pump-\{n\}' --quota 3 --tag pumps/,
  })
  await line.registry.devices.revoke('pump-15', 'admin:test')
  await assert.rejects(extend(line, { quota: 17 }), { code: 'name-taken', mend: /^--quota 15 fits\. For all 3,/ })
  assert.equal((await extend(line, { quota: 15 })).last, 15)
  assert.equal((await extend(line, { ttl: 90 * oneDay })).quota, 15)
  assert.equal((await extend(line, { quota: 30 }, 'line-2')).last, 45)
})

test('claims of the pattern give no numbers that a station may give by itself', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init({ quota: 3 }), { mode: 'offline' })
  const claim = await line.registry.claims.create({ role: 'device', name: 'pump-{n}', uses: 3 })
  const redeem = async (n: number): Promise<string> => {
    const right = { id: Buffer.from(claim.id).toString('hex'), secret: Buffer.from(claim.secret) }
    return (await line.registry.claims.redeem({ ...right, spkiSha256: String(n).repeat(64) })).principal.name
  }
  assert.deepEqual([await redeem(1), await redeem(2)], ['pump-4', 'pump-5'])
  assert.deepEqual([await deliver(station, 'board-1'), await deliver(station, 'board-2')], ['pump-1', 'pump-2'])
  assert.equal((await station.sync()).conflicts, 0)
  await line.registry.stations.revoke('line-1', false, 'admin:test')
  assert.equal(await redeem(3), 'pump-6')
})

test('P-17 a station slept through a rotation of the device CA, and issued under the old one: at its sync it has the new chain, and every unit comes in', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init(), { mode: 'offline' })
  await deliver(station, 'board-1')
  await station.sync()
  await deliver(station, 'board-2')
  const old = caOf(station)
  line.fixture.clock.forward(oneDay)
  await rotate(line, 'prepared', 'trusted', 'issuing', 'retired')
  await deliver(station, 'board-3')
  await station.desk.open('board-4', 'image')
  const bundle = await station.desk.bundle('board-4')
  const ask = () => line.fixture.ask('/v1/agent/config', { as: { key: bundle.identityPem, cert: bundle.chain } })
  assert.equal((await ask()).status, 403, 'below a retired CA nobody comes in')
  assert.equal((await station.sync()).conflicts, 0)
  const present = caOf(station)
  assert.deepEqual([present.subject, present.issuer === old.issuer], [old.subject, false])
  assert.equal((await ask()).status, 200, 'its CA hangs of the present one again')
  await rotate(line, 'finished')
  assert.equal((await ask()).status, 200)
  await deliver(station, 'board-5')
  assert.equal((await station.sync()).conflicts, 0)
  assert.deepEqual(
    [...line.registry.directory.all('device')].map(({ name }) => name).sort(),
    [1, 2, 3, 4, 5].map((n) => `pump-${n}`),
  )
  assert.equal((await station.verify()).certificates, 5)
  const { chain } = await station.desk.open('board-6', 'image').then(() => station.desk.bundle('board-6'))
  const [leaf, ca, above] = decodePem('CERTIFICATE', chain).map((der) => new X509Certificate(der))
  assert.ok(leaf!.verify(ca!.publicKey) && ca!.verify(above!.publicKey), 'boards get the chain that holds')
})

test('what the broker certified for a station is not refused at the sync because its CA has retired meanwhile', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init())
  await deliver(station, 'board-1')
  await rotate(line, 'prepared', 'trusted', 'issuing', 'retired')
  assert.equal((await station.sync()).conflicts, 0)
  assert.equal(line.registry.devices.get('pump-1').revokedAt, undefined)
  assert.equal((await station.verify()).certificates, 1)
})

test('a station that is rolled back below the former CA follows, and a power cut at any step of a renewal is made good by the next', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init()
  const station = await line.open(path, { mode: 'offline' })
  const first = caOf(station).issuer
  await rotate(line, 'prepared', 'trusted', 'issuing')
  const { broker } = station
  const delegation = broker.delegation.bind(broker)
  broker.delegation = async (...words) => {
    await delegation(...words)
    throw new AditError('broker-unreachable', 'The answer was lost.', 'Try again.')
  }
  await station.sync()
  assert.equal(caOf(station).issuer, first)
  broker.delegation = delegation
  // The chain is on disk, and its entry in the ledger is not.
  const { own, issuers } = station.parts
  const copy = await line.folder()
  await cp(path, copy, { recursive: true })
  const { chain } = await line.open(copy, { mode: 'offline' }).then(async (other) => {
    await other.renewDelegation()
    return other.parts.own
  })
  await issuers.learn(decodePem('CERTIFICATE', chain).slice(1))
  await own.take(chain)
  await deliver(station, 'board-1')
  assert.equal((await station.sync()).conflicts, 0)
  assert.notEqual(caOf(station).issuer, first)
  assert.equal((await station.verify()).certificates, 1)
  await line.fixture.authority.rotation.rollBack('device')
  assert.equal((await station.sync()).conflicts, 0)
  assert.equal(caOf(station).issuer, first)
  await deliver(station, 'board-2')
  assert.equal((await station.sync()).conflicts, 0)
  assert.equal((await station.verify()).certificates, 2)
})

test('A-41 a revoked station: every certificate that its CA had is on the list of who signed it', async (t) => {
  const line = await LineFixture.open(t)
  const station = await line.open(await line.init({ quota: 2 }), { mode: 'offline' })
  const serials = [caOf(station).serialNumber]
  await extend(line, { quota: 3 })
  await station.sync()
  serials.push(caOf(station).serialNumber)
  await line.registry.stations.revoke('line-1', false, 'admin:test')
  const { body } = await line.fixture.ask('/pki/device.crl')
  const list = body.toString('hex').toUpperCase()
  for (const serial of serials) assert.ok(list.includes(serial), serial)
})

test('two processes of one station: the one that was not asked goes on under what the ledger says', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init({ quota: 1 })
  const [one, two] = [await line.open(path, { mode: 'offline' }), await line.open(path, { mode: 'offline' })]
  await deliver(two, 'board-1')
  await extend(line, { quota: 3, ttl: 60 * oneDay })
  assert.equal(await one.renewDelegation(), true)
  assert.equal(await deliver(two, 'board-2'), 'pump-2')
  assert.equal((await two.sync()).conflicts, 0)
  assert.equal(caOf(two).serialNumber, caOf(one).serialNumber)
  assert.equal((await one.verify()).certificates, 2)
})
