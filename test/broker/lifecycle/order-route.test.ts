import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { openStatement } from '#shared/fleet/statement.ts'
import { signEvidence } from '#shared/fleet/wipe-evidence.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { ApiFixture, type Enrolled, oneDay } from '#test/broker/api/api-fixture.ts'

async function scene(t: TestContext) {
  const fixture = await ApiFixture.open(t)
  const pump = await fixture.enrol('device', { name: 'pump' })
  const other = await fixture.enrol('device', { name: 'other' })
  const { registry } = fixture
  const order = async (kind: 'wipe' | 'transfer' = 'wipe', nextClaim?: string) => {
    const identity = toHex(suite.hash('sha256', p256Spki(pump.identity.publicKey)))
    const words = { reason: 'test', keepReadings: false, ...(nextClaim !== undefined && { nextClaim }) }
    return registry.orders.give(registry.devices.get('pump'), { kind, identity, ...words }, 'admin:test')
  }
  const get = (as?: Enrolled) => fixture.ask('/v1/agent/order', as ? { as } : {})
  const put = (as: Enrolled, evidence: Uint8Array) =>
    fixture.ask('/v1/agent/order', {
      as,
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ evidence: Buffer.from(evidence).toString('base64') }),
    })
  const evidenceOf = (id: string, signer: Enrolled, fleet = fixture.authority.fleetId) =>
    signEvidence({ order: id, fleet, at: fixture.clock.wall(), erased: 9, left: [] }, signer.identity, suite)
  return { fixture, registry, pump, other, order, get, put, evidenceOf }
}

test('the order is told to whom it is for, signed, and to nobody else', async (t) => {
  const { fixture, pump, other, order, get } = await scene(t)
  assert.deepEqual((await get(pump)).json.order, null)
  const { id } = await order('transfer', 'the-next-claim')
  assert.equal((await get(other)).json.order, null)
  assert.equal((await get()).status, 403)
  const operator = await fixture.enrol('operator', { name: 'ann' })
  assert.equal((await get(operator)).status, 403)

  const { json } = await get(pump)
  assert.equal(json.order.next, 'the-next-claim')
  const bytes = Uint8Array.from(Buffer.from(json.order.statements[0], 'base64'))
  const { fleetId, statementKey } = fixture.authority
  const statement = openStatement(bytes, [statementKey.publicKey], fixture.clock.wall(), { suite, fleet: fleetId })
  assert.ok(statement.kind === 'wipe' && statement.id === id)
  assert.deepEqual(statement.next, suite.hash('sha256', Buffer.from('the-next-claim')))
  assert.deepEqual(Uint8Array.from(statement.identity), suite.hash('sha256', p256Spki(pump.identity.publicKey)))
})

test('after years, and after a revocation, a device hears its order and says that it is done; it reaches nothing else', async (t) => {
  for (const wasRevoked of [false, true]) {
    const { fixture, registry, pump, order, get, put, evidenceOf } = await scene(t)
    if (wasRevoked) await registry.devices.revoke('pump')
    const { id } = await order()
    fixture.clock.forward(1_000 * oneDay)
    assert.equal((await fixture.ask('/v1/agent/config', { as: pump })).status, 403)
    assert.equal((await get(pump)).json.order.id, id)
    assert.ok(registry.orders.open(registry.devices.get('pump').id)?.fetchedAt)
    const evidence = evidenceOf(id, pump)
    assert.deepEqual((await put(pump, evidence)).json, { done: true })
    // The answer was lost: the device says it again.
    assert.deepEqual((await put(pump, evidence)).json, { done: true })
    assert.equal((await get(pump)).json.order, null)
    const [done] = await registry.orders.list()
    assert.ok(done?.doneAt && done.evidence)
    assert.ok(registry.devices.get('pump').revokedAt)
    const actions = (await registry.audit.query({ limit: 1000 })).map(({ action }) => action)
    assert.equal(actions.filter((action) => action === 'device.wipe.done').length, 1)
  }
})

test('evidence of another key, device, order or fleet is refused, and the device stays', async (t) => {
  const { registry, pump, other, order, put, evidenceOf } = await scene(t)
  const { id } = await order()
  const spoilt = Uint8Array.from(evidenceOf(id, pump))
  spoilt[spoilt.length - 1]! ^= 1
  const rows: [Enrolled, Uint8Array][] = [
    [pump, evidenceOf(id, other)],
    [other, evidenceOf(id, other)],
    [pump, evidenceOf('00'.repeat(16), pump)],
    [pump, evidenceOf(id, pump, new Uint8Array(32))],
    [pump, spoilt],
    [pump, Uint8Array.of(1, 2, 3)],
    [pump, new Uint8Array()],
  ]
  for (const [as, evidence] of rows) {
    const { status } = await put(as, evidence)
    assert.ok(status >= 400 && status < 500, String(status))
  }
  assert.equal(registry.devices.get('pump').revokedAt, undefined)
  assert.equal((await registry.orders.list())[0]?.doneAt, undefined)
})

test('retiring takes what is known of a device, its readings unless they are kept, and nothing of its neighbour', async (t) => {
  const { registry } = await scene(t)
  const reading = (seq: number) => ({ seq, name: 'temperature', unit: 'Cel', at: 1, quality: 0, value: seq })
  const stored = async (deviceId: number) => (await registry.telemetry.query({ deviceId })).readings.length
  for (const [name, keepReadings] of [
    ['pump', false],
    ['other', true],
  ] as const) {
    const device = registry.devices.get(name)
    for (let batch = 0; batch < 250; batch++) {
      const readings = [reading(batch * 2), reading(batch * 2 + 1)]
      await registry.telemetry.insert([{ principalId: device.id, boot: 1, readings: readings as never }])
    }
    await registry.hostKeys.report(device.id, 'ssh', ['ssh-ed25519 AAAA'])
    await registry.grants.add(
      { operators: ['ann'], groups: [], tags: [], devices: [name], ports: [{ from: 22, to: 22 }] },
      'admin',
    )
    const before = registry.telemetry.stored
    const gone = await registry.retirement.retire(device, { reason: 'scrapped', keepReadings }, 'admin')
    assert.deepEqual([gone.readings, gone.grants], [keepReadings ? 0 : 500, 1])
    assert.equal(await stored(device.id), keepReadings ? 500 : 0)
    assert.equal(registry.telemetry.stored, before - gone.readings)
    assert.deepEqual(await registry.hostKeys.of(device.id), [])
    // Again, as after a power cut.
    assert.equal((await registry.retirement.retire(device, { reason: 'scrapped', keepReadings }, 'admin')).readings, 0)
  }
  assert.equal((await registry.grants.list()).filter(({ revokedAt }) => revokedAt === undefined).length, 0)
  assert.ok((await registry.certificates.list(registry.devices.get('pump').id)).every(({ revokedAt }) => revokedAt !== undefined))
})
