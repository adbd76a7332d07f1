import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { followVoucher } from '#agent/io/board-owner.ts'
import { Identity } from '#agent/io/identity.ts'
import { identityKeyToPem } from '#agent/io/identity-key.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { takeIdentity } from '#agent/io/take-identity.ts'
import { takeVouchers } from '#broker/factory/voucher-desk.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { days } from '#shared/time/instant.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { eventually } from '#test/broker/broker-fixture.ts'
import { makeBoard } from '#test/broker/factory/board-fixture.ts'
import { offlineLine } from '#test/broker/stations/offline-line.ts'
import { type Board, LifeScene } from '#test/scenarios/life-scene.ts'
import { BuiltFactory } from '#test/shared/enrolment/built-board.ts'

const year = days(365)
const wrongClocks = [
  ['1970', 0],
  ['2099', Date.UTC(2099, 0, 1)],
] as const
const hints = { cpu: 'a'.repeat(32), card: 'b'.repeat(32), macs: ['c'.repeat(32)] }

/** Back within this time of the power-on that finds the broker. */
const patienceMs = 10_000

for (const suite of ['noise', 'esp'] satisfies SuiteName[])
  for (const years of [1, 3, 10])
    for (const [name, wrong] of wrongClocks)
      test(`F-05, F-31 ${suite}: ${years} years on a shelf and a clock in ${name}: back by itself`, async (t) => {
        const scene = new LifeScene(t)
        await scene.open()
        const device = await scene.board(t, 'pi', hints)
        device.speaks = suite
        await device.on()
        await device.up()
        await device.off()
        const key = scene.registry.devices.get('pi').identityKeys

        scene.clock.set(scene.clock.wall() + years * year)
        // The broker has been renewed and restarted in the meantime, as brokers are.
        await scene.restart()
        device.clock.set(wrong)
        const backMs = await comesBack(scene, device, 'pi')
        assert.deepEqual(scene.registry.devices.get('pi').identityKeys, key, 'the very same key')
        await cameBy(scene, years === 1 ? 'renewal' : 'shelf')
        assert.ok(Math.abs(device.time.now() - scene.clock.wall()) < 10_000, 'it reckons by what the broker said')
        assert.equal(device.time.isUnsure, false)
        assert.ok(device.time.floor <= scene.clock.wall(), 'the own clock has raised nothing')
        t.diagnostic(`back ${backMs} ms after power-on`)
      })

test('F-31 a unit of a line that never told of it: ten years later, its CA ended, the roots and CAs that it knew followed by others', async (t) => {
  const scene = new LifeScene(t)
  await scene.open()
  const { identity, tunnel, chain } = (await offlineLine(scene)).make('unit-1')
  const folder = await StateFolder.open(join(scene.folder, 'unit'))
  await folder.putKeys({ identityPem: identityKeyToPem(identity), tunnelKey: tunnel.privateKey })
  const root = encodePem('CERTIFICATE', scene.authority.rootDer)
  await takeIdentity(folder, { chain, root, api: [scene.broker.ready.api] }, nativeSuite)
  const device = scene.machine(t, folder.path, hints)
  for (const line of ['device', 'root'] as const) {
    scene.clock.set(scene.clock.wall() + 5 * year)
    const { rotation } = scene.authority
    await rotation.prepare(line)
    for (const phase of ['trusted', 'issuing', 'retired', 'finished'] as const) await rotation.advance(line, phase)
  }
  await scene.restart()
  device.clock.set(0)
  const backMs = await comesBack(scene, device, 'unit-1')
  await cameBy(scene, 'shelf')
  t.diagnostic(`back ${backMs} ms after power-on`)
})

test('F-31 three years later: who was in service waits for a person, and a copy of its first days stays out for ever', async (t) => {
  const scene = new LifeScene(t)
  await scene.open()
  const device = await scene.board(t, 'pi', hints)
  const copy = device.copyTo(join(scene.folder, 'copy'), { cpu: 'd'.repeat(32) })
  await device.on()
  await device.up()
  assert.equal(await device.renew(), 'granted')
  await device.off()
  scene.clock.set(scene.clock.wall() + 3 * year)
  await scene.restart()
  for (const board of [device, copy]) {
    board.clock.set(0)
    const before = (await refusals(scene)).length
    await board.on()
    await eventually(async () => (await refusals(scene)).length > before, patienceMs, 'the refusal, with its reason')
    assert.match(
      (await refusals(scene)).at(-1)!,
      /not from a shelf: its device has had another since .*; adit-broker device readmit pi$/,
    )
    assert.equal(board.isUp, false)
    await board.off()
  }
  await scene.registry.lane.readmit(scene.registry.devices.get('pi'), scene.clock.wall() + days(30), 'admin:test')
  await comesBack(scene, device, 'pi')
  await cameBy(scene, 'readmitted')
})

test('F-31, P-18 two machines with one shelf: whoever comes second is a copy until the ratchet has judged them', async (t) => {
  const scene = new LifeScene(t)
  await scene.open()
  const device = await scene.board(t, 'pi', hints)
  await device.on()
  await device.up()
  await eventually(() => device.reports)
  await device.off()
  const thief = device.copyTo(join(scene.folder, 'thief'), { cpu: 'd'.repeat(32), card: 'e'.repeat(32), macs: ['f'.repeat(32)] })
  scene.clock.set(scene.clock.wall() + 10 * year)
  await scene.restart()
  for (const board of [thief, device]) board.clock.set(0)
  await comesBack(scene, thief, 'pi')
  await device.on()
  await eventually(async () => (await scene.audited('clone.found')) === 1, patienceMs, 'the alert')
  await eventually(() => thief.heard('held') && !thief.isUp, 60_000, 'the thief is told')
  await eventually(() => device.isUp && scene.isUp('pi'), 60_000, 'the device, by the board that is known')
  assert.equal(scene.registry.devices.get('pi').identityKeys.length, 2, 'on fresh keys')
})

test('F-31 ten years in a drawer after years of service: a board comes back by its IDevID, also where the shelf is closed', async (t) => {
  const scene = new LifeScene(t, { shelfDays: 0 })
  await scene.open()
  const factory = new BuiltFactory()
  const { registry, authority, clock } = scene
  await registry.factories.trust(factory.root.certificate, 'admin:test')
  const voucher = factory.signed({ pinnedDomainCert: authority.rootDer, api: [scene.broker.ready.api] })
  await takeVouchers({ registry, authority, suite: nativeSuite, clock }, [voucher], { name: 'pump' }, 'admin:test')
  const owned = await makeBoard(t, factory, 'sn1')
  assert.equal(await followVoucher(voucher, owned), 'enrolled')
  const device = scene.machine(t, owned.folder.path, hints)
  await device.on()
  await device.up()
  assert.equal(await device.renew(), 'granted')
  await device.off()
  const before = scene.registry.devices.get('pump')
  scene.clock.set(scene.clock.wall() + 10 * year)
  await scene.restart()
  device.clock.set(0)
  const backMs = await comesBack(scene, device, 'pump')
  await cameBy(scene, 'board')
  const after = scene.registry.devices.get('pump')
  assert.deepEqual([after.id, after.identityKeys, after.tunnelKey], [before.id, before.identityKeys, before.tunnelKey])
  t.diagnostic(`back ${backMs} ms after power-on`)
})

test('F-05 the time is said also where TLS still shows a certificate whose end the floor has passed', async (t) => {
  const scene = new LifeScene(t)
  await scene.open()
  const device = await scene.board(t, 'pi', hints)
  scene.clock.set(scene.clock.wall() + days(200))
  // The listener goes on with the certificate of before; what signs the time is the new one.
  assert.equal(await scene.authority.refreshApiCertificate(), true)
  const identity = (await Identity.load(await StateFolder.open(device.path), device.ports))!
  t.after(() => identity.close())
  identity.floors.raiseTime(scene.clock.wall() - days(1))
  await assert.rejects(identity.api().config(), { code: 'certificate-refused' })
  await identity.learnTime()
  assert.ok(Math.abs(identity.floors.time.now() - scene.clock.wall()) < 10_000)
})

test('F-05 a floor that was lost or torn, a clock of 2099 before it: the device is back in one contact', async (t) => {
  const scene = new LifeScene(t)
  await scene.open()
  const device = await scene.board(t, 'pi', hints)
  device.clock.set(Date.UTC(2099, 0, 1))
  await device.on()
  await device.up()
  await device.off()
  for (const torn of ['', '{"time":17', '{"time":-1}']) {
    writeFileSync(join(device.path, 'floor'), torn)
    device.clock.set(torn === '' ? scene.clock.wall() : 0)
    await device.on()
    await device.up(patienceMs)
    await device.off()
  }
})

test('F-32 a fleet whose certificates end beyond 2038 and 2050 enrols, connects, renews and says so', async (t) => {
  for (const [suite, year] of [
    ['noise', 2049],
    ['esp', 2049],
    ['noise', 2038],
  ] as const) {
    const scene = new LifeScene(t)
    // The fleet is founded late, so that its CA lasts; 30 days later it is 2050, or past the end of 32 bits.
    scene.clock.set(year === 2049 ? Date.UTC(2049, 11, 20) : Date.UTC(2038, 0, 10))
    await scene.open()
    const device = await scene.board(t, `pi-${suite}`, hints)
    device.speaks = suite
    device.clock.set(scene.clock.wall())
    await device.on()
    await device.up(patienceMs)
    const { expiresAt = 0 } = scene.registry.devices.get(`pi-${suite}`)
    assert.ok(expiresAt > Date.UTC(year === 2049 ? 2050 : 2038, 0, year === 2049 ? 1 : 19, 3, 14, 8))
    await device.off()
    scene.clock.set(scene.clock.wall() + days(25))
    device.clock.set(scene.clock.wall())
    await scene.restart()
    await device.on()
    await device.up(patienceMs)
    await eventually(
      () => (scene.registry.devices.get(`pi-${suite}`).expiresAt ?? 0) > expiresAt,
      patienceMs,
      'the renewed certificate',
    )
    await device.off()
  }
})

/** Switches it on; returns in how many ms it was back. */
async function comesBack(scene: LifeScene, device: Board, name: string): Promise<number> {
  const from = performance.now()
  await device.on()
  await device.up(patienceMs)
  await eventually(() => scene.isUp(name), patienceMs)
  const backMs = Math.round(performance.now() - from)
  assert.ok(backMs <= patienceMs)
  assert.ok((scene.registry.devices.get(name).expiresAt ?? 0) > scene.clock.wall())
  return backMs
}

/** The one return that is on record. */
async function cameBy(scene: LifeScene, lane: string): Promise<void> {
  await eventually(async () => (await scene.registry.lane.returns()).length > 0, 2_000, 'the return is on record')
  assert.deepEqual(
    (await scene.registry.lane.returns()).map((back) => back.lane),
    [lane],
  )
}

/** The exact reasons, in the order in which they came. */
async function refusals(scene: LifeScene): Promise<string[]> {
  const rows = await scene.registry.audit.query({ limit: 1_000 })
  const refused = rows.filter(({ action }) => action === 'api.refused').sort((one, other) => one.id - other.id)
  return refused.map(({ detail }) => (detail as { reason: string }).reason)
}
