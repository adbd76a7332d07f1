import assert from 'node:assert/strict'
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { HardwareHints } from '#shared/enrolment/hardware-hints.ts'
import { eventually } from '#test/broker/broker-fixture.ts'
import { copyFolder } from '#test/lab/copy-folder.ts'
import { type Board, LifeScene } from '#test/scenarios/life-scene.ts'

const hex = (n: number): string => n.toString(16).padStart(32, '0')
const boardOf = (n: number): HardwareHints => ({
  cpu: hex(n),
  card: hex(n + 100),
  macs: [hex(n + 200)],
  model: hex(1),
  machine: hex(2),
})

/** A broker, and a device of it that is up: the board that others will be copies of. */
async function livingDevice(t: TestContext): Promise<{ scene: LifeScene; device: Board }> {
  const scene = new LifeScene(t)
  await scene.open()
  const device = await scene.board(t, 'pi', boardOf(1))
  await device.on()
  await device.up()
  return { scene, device }
}

test('P-18, A-45 a copied card: found at its first contact, held apart, alerted once; the device has fresh keys and goes on; a person grants the copy a name', async (t) => {
  const { scene, device } = await livingDevice(t)
  await eventually(() => device.reports)
  const before = scene.registry.devices.get('pi').tunnelKey

  const copy = device.copyTo(join(scene.folder, 'copy'), boardOf(50))
  const from = performance.now()
  await copy.on()
  await eventually(async () => (await scene.audited('clone.found')) === 1, 10_000, 'the alert')
  const alertMs = Math.round(performance.now() - from)
  assert.equal(await scene.audited('clone.found'), 1)
  await eventually(() => device.heard('replaced'), 60_000, 'fresh keys')
  await eventually(() => copy.heard('held') && !copy.isUp, 60_000, 'the copy is told')
  await eventually(() => device.isUp && scene.isUp('pi'), 60_000, 'the device')
  const { tunnelKey, identityKeys } = scene.registry.devices.get('pi')
  assert.notEqual(tunnelKey, before)
  assert.equal(identityKeys.length, 2)
  t.diagnostic(`alert ${alertMs} ms after power-on, device back on fresh keys after ${Math.round(performance.now() - from)} ms`)

  // Switched off and on it stays where it is, and nobody is alerted again.
  await copy.off()
  copy.events = []
  await copy.on()
  await eventually(() => copy.heard('held'), 60_000)
  assert.equal(copy.isUp, false)
  assert.equal(await scene.audited('clone.found'), 1)
  assert.equal(device.isUp && scene.isUp('pi'), true)

  const [clone] = await scene.registry.clones.list()
  const claim = await scene.claim('pi-2')
  await scene.registry.clones.decide(clone!, { state: 'granted', name: 'pi-2', claim }, { actor: 'test', action: 'clone.grant' })
  await eventually(() => copy.heard('replaced'), 60_000, 'the copy has an identity of its own')
  await eventually(() => copy.isUp && scene.isUp('pi-2'), 60_000, 'and a tunnel')
  assert.equal(device.isUp && scene.isUp('pi'), true)
  assert.notEqual(scene.registry.devices.get('pi-2').tunnelKey, tunnelKey)
  await eventually(async () => (await scene.registry.clones.get(1)).state === 'ended')
  assert.equal((await scene.registry.clones.get(1)).claim, undefined, 'its claim is nowhere any more')
})

test('P-18 a person may say that the held one is the device: it gets fresh keys, and the other is held', async (t) => {
  const { scene, device } = await livingDevice(t)
  await eventually(() => device.reports)
  const copy = device.copyTo(join(scene.folder, 'copy'), boardOf(50))
  await copy.on()
  await eventually(() => device.heard('replaced') && device.isUp && device.reports && copy.heard('held'), 60_000)
  const [clone] = await scene.registry.clones.list()
  await scene.registry.clones.decide(clone!, { state: 'dismissed' }, { actor: 'test', action: 'clone.dismiss' })
  await eventually(() => copy.heard('replaced') && copy.isUp, 60_000, 'the other way round')
  await device.off()
  device.events = []
  await device.on()
  await eventually(() => device.heard('held') && !device.isUp, 60_000, 'the first one is held')
  assert.equal(copy.isUp, true)
  assert.equal(await scene.audited('clone.found'), 2)
})

test('P-18 a copy that is used first and for days is the one that is held when the device comes back', async (t) => {
  const { scene, device } = await livingDevice(t)
  await device.off()
  const copy = device.copyTo(join(scene.folder, 'copy'), boardOf(50))
  for (let boot = 0; boot < 3; boot++) {
    await copy.off()
    await copy.on()
    await copy.up()
  }
  await device.on()
  await eventually(() => device.heard('replaced') && device.isUp, 60_000, 'the device has fresh keys')
  await eventually(() => scene.isUp('pi'), 60_000)
  await eventually(() => copy.heard('held') && !copy.isUp, 60_000, 'the copy is held')
  assert.equal(await scene.audited('clone.found'), 1)
})

test('F-29 a restored backup and another network card are no copies, and need nobody', async (t) => {
  const { scene, device } = await livingDevice(t)
  await device.off()
  const backup = join(scene.folder, 'backup')
  copyFolder(device.path, backup)
  for (let boot = 0; boot < 3; boot++) {
    await device.on()
    await device.up()
    await device.off()
  }
  rmSync(device.path, { recursive: true })
  copyFolder(backup, device.path)
  await device.on()
  await device.up()
  await eventually(async () => (await scene.audited('device.restored')) === 1)
  await device.off()
  device.hints = { ...boardOf(1), macs: [hex(999)] }
  await device.on()
  await device.up()
  await eventually(async () => (await scene.audited('device.parts-changed')) === 1)
  assert.equal(await scene.audited('clone.found'), 0)
})

test('A-45 a contest outlives the broker and the device: whoever is killed goes on where it was', async (t) => {
  const { scene, device } = await livingDevice(t)
  await device.off()
  const copy = device.copyTo(join(scene.folder, 'copy'), boardOf(50))
  const again = device.copyTo(join(scene.folder, 'again'), boardOf(70))
  await device.on()
  await device.up()
  await device.off()
  await copy.on()
  await eventually(() => copy.heard('held'), 60_000)
  await scene.restart()
  await again.on()
  await eventually(() => again.heard('held'), 60_000, 'a second copy while the device sleeps')
  assert.equal(copy.isUp || again.isUp, false)
  await scene.restart()
  await device.on()
  await eventually(() => device.heard('replaced') && device.isUp && scene.isUp('pi'), 60_000, 'the device')
  assert.equal(await scene.audited('clone.found'), 2, 'one alert a copy')
  assert.equal(copy.isUp || again.isUp, false)
})

test('F-22, A-45 power cuts while a device changes its keys: every moment of it ends in the same new identity', async (t) => {
  const { scene, device } = await livingDevice(t)
  await device.off()
  const copy = device.copyTo(join(scene.folder, 'copy'), boardOf(50))
  const before = join(scene.folder, 'before')
  copyFolder(device.path, before)
  await copy.on()
  await copy.up()
  // The device gets its keys, and power is cut before it has used them.
  device.follows = false
  await device.on()
  await eventually(() => device.heard('replaced'), 60_000)
  await device.off()
  await copy.off()
  const after = join(scene.folder, 'after')
  copyFolder(device.path, after)
  const read = (name: string): string => readFileSync(join(after, name), 'utf8')
  const keys = { identityPem: read('identity.key'), tunnel: read('tunnel.key').trim() }
  const moved = ['tunnel.key', 'tunnel.key.bak', 'identity.key', 'identity.key.bak', 'certificate.pem', 'certificate.pem.bak']
  /** The folder with so many of its files already moved. */
  const cutAfter = (count: number, next: object): void => {
    rmSync(device.path, { recursive: true })
    copyFolder(before, device.path)
    for (const name of ['ratchet', 'ratchet.bak', ...moved.slice(0, count)]) cpSync(join(after, name), join(device.path, name))
    writeFileSync(join(device.path, 'next-identity.json'), JSON.stringify(next), { mode: 0o600 })
  }
  device.follows = true
  // The answer of the broker was lost with the power: the old key comes again, with the same new keys.
  device.events = []
  cutAfter(0, keys)
  await device.on()
  await eventually(() => device.heard('replaced') && device.isUp && scene.isUp('pi'), 60_000, 'the device')
  assert.equal(readFileSync(join(device.path, 'identity.key'), 'utf8'), keys.identityPem)
  await device.off()
  cpSync(join(device.path, 'ratchet'), join(after, 'ratchet'))
  cpSync(join(device.path, 'ratchet.bak'), join(after, 'ratchet.bak'))
  for (let count = 0; count <= moved.length; count++) {
    cutAfter(count, { ...keys, chain: read('certificate.pem') })
    await device.on()
    await device.up()
    assert.equal(existsSync(join(device.path, 'next-identity.json')), false)
    assert.equal(readFileSync(join(device.path, 'identity.key'), 'utf8'), keys.identityPem, `cut after ${count} files`)
    await device.off()
    for (const name of ['ratchet', 'ratchet.bak']) cpSync(join(device.path, name), join(after, name))
  }
  assert.equal(await scene.audited('clone.found'), 1)
})

test('P-18 what a held key asks for besides the ratchet is refused', async (t) => {
  const { scene, device } = await livingDevice(t)
  assert.equal(await scene.registry.clones.lineOf(scene.registry.devices.get('pi').id).then((line) => line?.step), 1)
  await device.off()
  const copy = device.copyTo(join(scene.folder, 'copy'), boardOf(50))
  await copy.on()
  await copy.up()
  await device.on()
  await eventually(() => device.heard('replaced') && device.isUp && copy.heard('held'), 60_000)
  const refused = await copy.api((api) => api.config())
  assert.equal(refused, 'certificate-refused')
  assert.equal(await copy.api((api) => api.timestamp()), 'certificate-refused')
  assert.equal(await copy.renew(), 'certificate-refused')
})
