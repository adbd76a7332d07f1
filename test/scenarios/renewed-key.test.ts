import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { days } from '#shared/time/instant.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { eventually } from '#test/broker/broker-fixture.ts'
import { LifeScene } from '#test/scenarios/life-scene.ts'

const hints = { cpu: 'a'.repeat(32), card: 'b'.repeat(32), macs: ['c'.repeat(32)] }

for (const suite of ['noise', 'esp'] satisfies SuiteName[])
  test(`each renewal makes a new identity key: the tunnel stays up, the ratchet is content, the next start takes it (${suite})`, async (t) => {
    const scene = new LifeScene(t)
    await scene.open()
    const device = await scene.board(t, 'pi', hints)
    device.speaks = suite
    device.renewsKey = true
    await device.on()
    await device.up()
    const keys = new Set([toHex(device.identityKey!)])
    for (let times = 0; times < 2; times++) {
      assert.equal(await device.renew(), 'granted')
      assert.ok(device.isUp, 'the tunnel is the same')
      keys.add(toHex(device.identityKey!))
      assert.equal(await device.api((api) => api.config()), 'granted')
    }
    assert.equal(keys.size, 3)
    await device.off()
    await device.on()
    await device.up()
    await eventually(() => device.reports, 10_000, 'the uplink under the new key')
    assert.equal(await scene.audited('clone.found'), 0)
    assert.deepEqual(await scene.registry.clones.list(), [])
    assert.equal(existsSync(join(device.path, 'next-identity.json')), false)
  })

test('an ended certificate is renewed with its own key, whatever the wish', async (t) => {
  const scene = new LifeScene(t)
  await scene.open()
  const device = await scene.board(t, 'pi', hints)
  device.renewsKey = true
  await device.on()
  await device.up()
  const key = toHex(device.identityKey!)
  await device.off()
  scene.clock.set(scene.clock.wall() + days(60))
  device.clock.set(scene.clock.wall())
  await scene.restart()
  await device.on()
  await device.up()
  assert.equal(toHex(device.identityKey!), key)
  assert.equal(await device.renew(), 'granted')
  assert.notEqual(toHex(device.identityKey!), key)
})
