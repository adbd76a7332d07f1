import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { UplinkWindow } from '#agent/core/uplink-window.ts'
import { SqliteOutboxStore } from '#agent/io/outbox-store.ts'
import { isAditError } from '#shared/errors.ts'
import { batchLength, Outbox, type OutboxRow, type Sample } from '#shared/telemetry/outbox.ts'
import { MAX_BATCH_READINGS } from '#shared/telemetry/reading.ts'

const sample = (name: string, value: Sample['value'] = 1): Sample => ({ name, value, unit: null, at: 1000, quality: 0 })
const start = { boot: 0, seq: 0 }

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'adit-outbox-'))
  t.after(() => rm(path, { recursive: true }))
  return join(path, 'outbox.db')
}

async function open(path: string, limits = { rows: 1000, bytes: 1 << 20 }, options = {}) {
  const store = await SqliteOutboxStore.open(path, options)
  return { store, outbox: await Outbox.open(store, { limits, now: () => 5000 }) }
}

test('boots count up, and readings of all boots come in order', async (t) => {
  const path = await folder(t)
  const first = await open(path)
  await first.outbox.append([sample('a'), sample('b')])
  await first.store.close()
  const second = await open(path)
  await second.outbox.append([sample('c', { deep: [1, 'x'] })])
  const rows = await second.outbox.after(start, 10)
  assert.deepEqual(
    rows.map(({ boot, seq, name }) => [boot, seq, name]),
    [
      [1, 1, 'a'],
      [1, 2, 'b'],
      [2, 1, 'c'],
    ],
  )
  assert.equal(JSON.stringify(rows[2]!.value), '{"deep":[1,"x"]}')
  assert.equal(second.outbox.status.rows, 3)
  await second.outbox.remove({ boot: 1, seq: 1 })
  assert.deepEqual(
    (await second.outbox.after(start, 10)).map(({ name }) => name),
    ['b', 'c'],
  )
  assert.equal(second.outbox.status.rows, 2)
  await second.store.close()
})

test('appends that come together share commits and keep their order', async (t) => {
  const { outbox, store } = await open(await folder(t))
  await Promise.all(Array.from({ length: 200 }, (_, i) => outbox.append([sample(`s${i}`)])))
  const rows = await outbox.after(start, 500)
  assert.deepEqual(
    rows.map(({ seq, name }) => [seq, name]),
    Array.from({ length: 200 }, (_, i) => [i + 1, `s${i}`]),
  )
  await store.close()
})

test('F-04 a full outbox sheds the oldest vital signs first, then the oldest readings, and says so', async (t) => {
  const { outbox, store } = await open(await folder(t), { rows: 100, bytes: 1 << 20 })
  for (let i = 0; i < 50; i++) await outbox.append([sample(`s${i}`), sample('system/load', i)])
  await outbox.append(Array.from({ length: 30 }, (_, i) => sample(`t${i}`)))
  const rows = await outbox.after(start, 1000)
  const names = rows.map(({ name }) => name)
  assert.ok(rows.length <= 100)
  assert.ok(names.includes('s0'), 'no reading of a sensor went while vital signs were there')
  const vitals = rows.filter(({ name }) => name === 'system/load')
  assert.equal(vitals.at(-1)!.value, 49, 'the newest vital signs stay')
  for (let i = 0; i < 5; i++) await outbox.append(Array.from({ length: 30 }, (_, k) => sample(`u${i}.${k}`)))
  const later = await outbox.after(start, 1000)
  assert.ok(later.length <= 100)
  assert.ok(!later.some(({ name }) => name === 's0') && later.some(({ name }) => name === 'u4.29'))
  const gaps = later.filter(({ name }) => name === 'system/gap')
  const told = gaps.reduce((sum, { value }) => sum + (value as { count: number }).count, 0)
  const kept = later.length - gaps.length
  assert.equal(kept + told, 100 + 30 + 150, 'every reading is there or counted')
  assert.equal(outbox.status.rows, later.length)
  for (let i = 1; i < later.length; i++) assert.ok(later[i]!.seq > later[i - 1]!.seq)
  await store.close()
})

test('F-04 a full disk refuses the reading whole, and takes it when there is room', async (t) => {
  const { outbox, store } = await open(await folder(t), { rows: 1e6, bytes: 1e9 }, { maxPages: 40 })
  let taken = 0
  const big = (): Sample[] => Array.from({ length: 10 }, () => sample('s', 'x'.repeat(500)))
  await assert.rejects(
    async () => {
      for (;;) {
        await outbox.append(big())
        taken += 10
      }
    },
    (error) => isAditError(error) && error.code === 'disk-full',
  )
  const rows = await outbox.after(start, 1000)
  assert.equal(rows.length, taken)
  await outbox.remove(rows.at(-1)!)
  await outbox.append(big())
  assert.equal((await outbox.after(start, 1000)).length, 10)
  await store.close()
})

test('P-21 the window sends in order, forgets only what is done, and repeats the rest', () => {
  const rows = Array.from(
    { length: 1600 },
    (_, i): OutboxRow => ({ ...sample('s'), boot: 1, seq: i + 1, priority: 1, bytes: 50 }),
  )
  const window = new UplinkWindow()
  const take = () => window.take(rows.filter(({ seq }) => seq > window.cursor.seq))
  const [first, second, third] = [take()!, take()!, take()!]
  assert.equal(first.rows.length, MAX_BATCH_READINGS)
  assert.equal(window.acknowledge(second.id), undefined, 'the front is not done')
  assert.deepEqual(window.acknowledge(first.id), { boot: 1, seq: 1000 })
  window.rewind()
  assert.deepEqual(window.cursor, { boot: 1, seq: 1000 })
  assert.equal(window.acknowledge(third.id), undefined, 'an answer of the old connection means nothing')
  assert.equal(take()!.rows[0]!.seq, 1001)
})

test('a batch holds one boot, and no more than the decoder takes', () => {
  const row = (boot: number, bytes: number, value: OutboxRow['value'] = 1): OutboxRow => ({
    ...sample('s', value),
    boot,
    seq: 1,
    priority: 1,
    bytes,
  })
  assert.equal(batchLength([]), 0)
  assert.equal(batchLength([row(1, 50), row(1, 50), row(2, 50)]), 2)
  assert.equal(batchLength([row(1, 40_000), row(1, 40_000)]), 1)
  assert.equal(batchLength(Array.from({ length: 9 }, () => row(1, 50, new Array(100).fill(1)))), 5)
})
