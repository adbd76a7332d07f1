import assert from 'node:assert/strict'
import test from 'node:test'
import type { Reading, ReadingValue } from '#shared/telemetry/reading.ts'
import { openRegistry, randomHex } from '#test/broker/registry/registry-fixture.ts'

const reading = (seq: number, value: ReadingValue = seq, name = 'temperature'): Reading => ({
  seq,
  name,
  value,
  unit: 'C',
  at: 1_700_000_000_000 + seq,
  quality: 0,
})
const run = (from: number, to: number): Reading[] => Array.from({ length: to - from + 1 }, (_, n) => reading(from + n))

test('a reading that comes twice is stored once, in one call or many, before or after a restart', async () => {
  const fixture = await openRegistry()
  const { id: principalId } = await fixture.registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32) })
  const insert = (boot: number, readings: Reading[]) => fixture.registry.telemetry.insert([{ principalId, boot, readings }])
  assert.deepEqual(await insert(1, run(1, 10)), { inserted: 10, duplicates: 0 })
  assert.deepEqual(await insert(1, run(6, 12)), { inserted: 2, duplicates: 5 })
  assert.deepEqual(await insert(2, run(1, 3)), { inserted: 3, duplicates: 0 })
  const parallel = await Promise.all(Array.from({ length: 10 }, () => insert(3, run(1, 100))))
  assert.equal(
    parallel.reduce((sum, { inserted }) => sum + inserted, 0),
    100,
  )
  await fixture.reopen()
  assert.deepEqual(await insert(3, run(1, 100)), { inserted: 0, duplicates: 100 })
  assert.equal(fixture.registry.telemetry.stored, 115)
  const { readings } = await fixture.registry.telemetry.query({ deviceId: principalId })
  assert.equal(readings.length, 115)
  assert.equal(new Set(readings.map(({ boot, seq }) => `${boot} ${seq}`)).size, 115)
  await fixture.end()
})

test('values come back as they were', async () => {
  const fixture = await openRegistry()
  const { id } = await fixture.registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32) })
  const values: ReadingValue[] = [
    0,
    -0,
    23,
    24,
    255,
    256,
    65_535,
    65_536,
    -1,
    0.1,
    1 / 3,
    5e-324,
    1.7976931348623157e308,
    2 ** 53 - 1,
    '',
    'Grüße \u0000 ☃',
    true,
    false,
    null,
    new Uint8Array([0, 255]),
    [1, [2, 'x']],
    { a: { b: [null] } },
  ]
  const readings = values.map((value, n) => reading(n + 1, value))
  await fixture.registry.telemetry.insert([{ principalId: id, boot: 1, readings }])
  const stored = (await fixture.registry.telemetry.query({ deviceId: id })).readings
  for (const [n, value] of values.entries()) {
    const got = stored[n]?.value
    if (typeof value === 'number') assert.ok(Object.is(got, value), String(value))
    else if (value instanceof Uint8Array) assert.deepEqual([...(got as Uint8Array)], [...value])
    else assert.equal(JSON.stringify(got), JSON.stringify(value))
  }
  assert.deepEqual({ ...stored[0], receivedAt: 0 }, { ...readings[0], boot: 1, receivedAt: 0 })
  await fixture.end()
})

test('a cursor meets every reading once, whatever the page and whenever they come', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const a = await registry.devices.addWireguard({ name: 'a', tunnelKey: randomHex(32) })
  const b = await registry.devices.addWireguard({ name: 'b', tunnelKey: randomHex(32) })
  const seen: string[] = []
  let after: string | undefined
  const arrived: number[] = []
  const stop = registry.telemetry.onArrival((id) => arrived.push(id))
  const follow = async (limit: number): Promise<void> => {
    for (;;) {
      const { readings, next } = await registry.telemetry.query({
        deviceId: a.id,
        limit,
        ...(after === undefined ? {} : { after }),
      })
      seen.push(...readings.map(({ boot, seq }) => `${boot}.${seq}`))
      after = next
      if (readings.length < limit) return
    }
  }
  // A later boot first, an older one after it: order of arrival counts, not of numbers.
  await registry.telemetry.insert([
    { principalId: a.id, boot: 2, readings: run(1, 7) },
    { principalId: b.id, boot: 1, readings: run(1, 5) },
  ])
  await follow(3)
  await registry.telemetry.insert([{ principalId: a.id, boot: 1, readings: run(1, 7) }])
  await follow(2)
  await registry.telemetry.insert([{ principalId: a.id, boot: 1, readings: run(5, 9) }])
  await follow(100)
  const expected = [...run(1, 7).map(({ seq }) => `2.${seq}`), ...run(1, 9).map(({ seq }) => `1.${seq}`)]
  assert.deepEqual(seen, expected)
  assert.deepEqual(arrived, [a.id, b.id, a.id, a.id])
  stop()
  const newest = await registry.telemetry.query({ deviceId: a.id, limit: 3, newest: true })
  assert.deepEqual(
    newest.readings.map(({ seq }) => seq),
    [7, 8, 9],
  )
  assert.equal(newest.next, after)
  await assert.rejects(registry.telemetry.query({ deviceId: a.id, after: "1' OR 1=1" }), { code: 'usage' })
  await fixture.end()
})

test('readings of one name', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const { id } = await registry.devices.addWireguard({ name: 'a', tunnelKey: randomHex(32) })
  await registry.telemetry.insert([{ principalId: id, boot: 1, readings: [reading(1), reading(2, 1, 'door'), reading(3)] }])
  const names = async (name: string) => (await registry.telemetry.query({ deviceId: id, name })).readings.map(({ seq }) => seq)
  assert.deepEqual(await names('door'), [2])
  assert.deepEqual(await names('temperature'), [1, 3])
  assert.deepEqual(await names("door' OR '1'='1"), [], 'A-83 a name is a value, never SQL')
  await fixture.end()
})

test('old and surplus readings go in small steps, and a cursor survives it', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const { id } = await registry.devices.addWireguard({ name: 'a', tunnelKey: randomHex(32) })
  for (let boot = 1; boot <= 10; boot += 1) {
    await registry.telemetry.insert([{ principalId: id, boot, readings: run(1, 10) }])
    clock.ms += 1000
  }
  const { next } = await registry.telemetry.query({ deviceId: id })
  assert.equal(await registry.telemetry.prune(clock.ms - 8000, Number.POSITIVE_INFINITY, 100), 20)
  assert.equal(await registry.telemetry.prune(0, 45, 2), 20)
  assert.equal(await registry.telemetry.prune(0, 45, 2), 20)
  assert.equal(await registry.telemetry.prune(0, 45, 2), 0)
  assert.equal(await registry.telemetry.prune(clock.ms, Number.POSITIVE_INFINITY, 100), 40)
  assert.equal(registry.telemetry.stored, 0)
  await fixture.reopen()
  await fixture.registry.telemetry.insert([{ principalId: id, boot: 99, readings: run(1, 1) }])
  const { readings } = await fixture.registry.telemetry.query({ deviceId: id, after: next })
  assert.deepEqual(
    readings.map(({ boot }) => boot),
    [99],
  )
  await fixture.end()
})

test('a full disk refuses the batch and loses none that was acknowledged', async () => {
  const fixture = await openRegistry({ maxPages: 120 })
  const { registry } = fixture
  const { id } = await registry.devices.addWireguard({ name: 'a', tunnelKey: randomHex(32) })
  let acknowledged = 0
  const fill = async (): Promise<void> => {
    for (let boot = 1; ; boot += 1)
      acknowledged += (await registry.telemetry.insert([{ principalId: id, boot, readings: run(1, 200) }])).inserted
  }
  await assert.rejects(fill(), { code: 'disk-full' })
  assert.ok(acknowledged > 0)
  assert.equal(registry.telemetry.stored, acknowledged)
  // Room made by retention serves again.
  await registry.telemetry.prune(0, 0, 2)
  assert.equal((await registry.telemetry.insert([{ principalId: id, boot: 999, readings: run(1, 50) }])).inserted, 50)
  await fixture.end()
})
