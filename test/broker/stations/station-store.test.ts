import assert from 'node:assert/strict'
import test from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import type { OfferedUnit } from '#broker/stations/unit-register.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { openRegistry, randomKeys } from '#test/broker/registry/registry-fixture.ts'

const day = 86_400_000
const terms = { tags: ['pumps'], quota: 100, ttl: 30 * day, claimTtl: day }

test('stations of one pattern get numbers one after another, behind the devices that have such names', async (t) => {
  const fixture = await openRegistry()
  t.after(() => fixture.end())
  const { registry } = fixture
  await registry.devices.addWireguard({ name: 'pump-40', tunnelKey: randomKeys().tunnelKey })
  const ranges = []
  for (const name of ['one', 'two', 'three']) {
    const { station } = await registry.stations.authorize({ ...terms, name, names: 'pump-{n}' }, registry.claims, 'admin:test')
    ranges.push([station.first, station.last])
  }
  assert.deepEqual(ranges, [
    [41, 140],
    [141, 240],
    [241, 340],
  ])
  // What a revoked one may have given out stays its own.
  await registry.stations.revoke('three', false, 'admin:test')
  const { station } = await registry.stations.authorize(
    { ...terms, name: 'three', names: 'pump-{n}' },
    registry.claims,
    'admin:test',
  )
  assert.equal(station.first, 341)
})

test('patterns that could make one name do not stand side by side, nor two stations of one name', async (t) => {
  const fixture = await openRegistry()
  t.after(() => fixture.end())
  const { registry } = fixture
  const authorize = (name: string, names: string, more = {}) =>
    registry.stations.authorize({ ...terms, name, names, ...more }, registry.claims, 'admin:test')
  await authorize('one', 'pump-{n}')
  for (const names of ['pump-1{n}', 'pump-####', 'pump-{n}0'])
    await assert.rejects(authorize('two', names), { code: 'name-taken', message: /station one/ })
  await assert.rejects(authorize('one', 'gauge-{n}'), { code: 'name-taken' })
  await assert.rejects(authorize('two', 'pump'), { code: 'name-invalid' })
  for (const quota of [0, 1_000_001, 1.5]) await assert.rejects(authorize('two', 'gauge-{n}', { quota }), { code: 'usage' })
  assert.equal((await registry.claims.list()).length, 1)
})

test('A-42 a station claim makes one station, by one key, and a revoked station takes its claim with it', async (t) => {
  const fixture = await openRegistry()
  t.after(() => fixture.end())
  const { registry } = fixture
  const { claim } = await registry.stations.authorize({ ...terms, name: 'one', names: 'pump-{n}' }, registry.claims, 'admin:test')
  assert.deepEqual([claim.summary.role, claim.summary.uses, claim.summary.name], ['station', 1, 'one'])
  await registry.stations.revoke('one', false, 'admin:test')
  const [after] = await registry.claims.list()
  assert.equal(after?.state, 'revoked')
})

test('what was authorised, and how far it came, outlives a restart', async (t) => {
  const fixture = await openRegistry()
  t.after(() => fixture.end())
  await fixture.registry.stations.authorize({ ...terms, name: 'one', names: 'pump-{n}' }, fixture.registry.claims, 'admin:test')
  const before = fixture.registry.stations.get('one')
  assert.deepEqual((await fixture.reopen()).stations.get('one'), before)
})

test('a lost key takes its device and all its certificates with it, once the ledger that says so is taken, and not before', async (t) => {
  const fixture = await openRegistry()
  t.after(() => fixture.end())
  const { registry, folder, clock } = fixture
  const authority = await Authority.openOrCreate(folder, { suite, clock })
  const { station } = await registry.stations.authorize(
    { ...terms, name: 'one', names: 'pump-{n}' },
    registry.claims,
    'admin:test',
  )
  const made = async (spki = p256Spki(suite.ecdsaP256.generate().publicKey)) => {
    const issued = await authority.issue({ role: 'device', name: 'pump-1', spki })
    return {
      issued,
      spki,
      offered: { leaf: parseCertificate(issued.der), issuerHex: issued.issuerHex, unit: 'board-1', word: { tags: [] } },
    }
  }
  const take = (offered: OfferedUnit, fails = false) =>
    registry.stationUnits.intake(async (transaction, heard) => {
      heard.push(registry.stationUnits.telling(await registry.stationUnits.take(transaction, station, offered)))
      if (fails) throw new Error('the disk is full')
    })
  const first = await made()
  await take(first.offered)
  const lost = registry.devices.get('pump-1')
  await registry.certificates.record({ ...(await made(first.spki)).issued, principalId: lost.id })

  const instead = { ...(await made()).offered, instead: first.offered.leaf.serialHex }
  await assert.rejects(take(instead, true), { message: 'the disk is full' })
  assert.equal(registry.directory.byId(lost.id)?.revokedAt, undefined)
  await take(instead)
  assert.ok(registry.directory.byId(lost.id)?.revokedAt)
  assert.notEqual(registry.devices.get('pump-1').id, lost.id)
  const left = (await registry.certificates.list(lost.id)).map(({ revokedAt }) => revokedAt)
  assert.deepEqual(left, [clock.wall(), clock.wall()])
})
