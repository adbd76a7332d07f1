import assert from 'node:assert/strict'
import test from 'node:test'
import { openRegistry, randomHex } from '#test/broker/registry/registry-fixture.ts'

const day = 86_400_000
const count = (principalId: number, received: number, sent: number, estimated = 0) => [{ principalId, received, sent, estimated }]

test('today, this month, and what 30 days would cost; kept over a restart, and the 1st begins anew', async () => {
  const fixture = await openRegistry()
  const { clock } = fixture
  const { id } = await fixture.registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32) })
  assert.equal(fixture.registry.dataUse.of(id), undefined)
  // 22 November 00:00 UTC, when the fixture's clock begins.
  fixture.registry.dataUse.count(count(id, 600, 400, 100))
  clock.ms += 1_800_000
  assert.deepEqual(fixture.registry.dataUse.of(id), {
    todayBytes: 1000,
    monthBytes: 1000,
    projectedMonthBytes: undefined,
    estimatedBytes: 100,
  })
  clock.ms += day - 1_800_000
  fixture.registry.dataUse.count(count(id, 1000, 0))
  assert.deepEqual(fixture.registry.dataUse.of(id), {
    todayBytes: 1000,
    monthBytes: 2000,
    projectedMonthBytes: 60_000,
    estimatedBytes: 100,
  })
  const again = (await fixture.reopen()).dataUse
  assert.equal(again.of(id)?.todayBytes, 1000)
  assert.equal(again.of(id)?.monthBytes, 2000)
  assert.equal(again.of(id)?.projectedMonthBytes, 60_000)
  clock.ms = Date.UTC(2026, 11, 1, 0, 30)
  assert.deepEqual([again.of(id)?.todayBytes, again.of(id)?.monthBytes], [0, 0])
  again.count(count(id, 7, 0))
  assert.equal(again.of(id)?.monthBytes, 7)
  await fixture.end()
})

test('written within five minutes, each day once, and days of long ago are let go', async () => {
  const fixture = await openRegistry()
  const { clock } = fixture
  const { id } = await fixture.registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32) })
  for (let at = 0; at < 100; at++) {
    fixture.registry.dataUse.count(count(id, 10, 0))
    clock.ms += day
  }
  await fixture.registry.dataUse.flush()
  const reopened = await fixture.reopen()
  assert.ok((reopened.dataUse.of(id)?.monthBytes ?? 0) > 0)
  await fixture.end()
})

test('device set: the plan is kept, shown, audited, and cleared', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  await registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32) })
  const changes: string[] = []
  registry.onChange((change) => changes.push(change.kind))
  await registry.devices.setData('pi', { mode: 'metered', monthlyMegabytes: 1.1 })
  assert.deepEqual(registry.devices.get('pi').data, { mode: 'metered', monthlyMegabytes: 1.1 })
  assert.deepEqual(changes, ['changed'])
  const reopened = await fixture.reopen()
  assert.deepEqual(reopened.devices.get('pi').data, { mode: 'metered', monthlyMegabytes: 1.1 })
  await reopened.devices.setData('pi', undefined)
  assert.equal(reopened.devices.get('pi').data, undefined)
  await fixture.end()
})
