import assert from 'node:assert/strict'
import { mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { ReadingStore } from '#agent/device/reading-store.ts'
import { Floors } from '#agent/io/floors.ts'
import { SqliteOutboxStore } from '#agent/io/outbox-store.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { Log } from '#shared/platform/log.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Outbox } from '#shared/telemetry/outbox.ts'

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'adit-damage-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** One start of the agent's storage: what it holds when it is open. */
async function started(folder: string) {
  const warnings: string[] = []
  const log: Log = {
    error() {},
    info() {},
    debug() {},
    trace() {},
    warn: (...words: unknown[]) => void warnings.push(String(words.at(-1))),
  }
  const floors = await Floors.open(join(folder, 'floor'), systemClock, log)
  let outbox: Outbox | undefined
  const store = new ReadingStore({
    limits: { rows: 10_000, bytes: 64 * 2 ** 20 },
    time: floors.time,
    boots: floors,
    timers: systemTimers,
    log,
    openStore: () => SqliteOutboxStore.openOrBegin(join(folder, 'outbox.db')),
    onOpen: (opened) => {
      outbox = opened
    },
    onAppended: () => {},
  })
  await store.open()
  const rows = async () => (outbox ? await outbox.after({ boot: 0, seq: 0 }, 10_000) : [])
  return { store, warnings, rows, floors, boot: outbox?.status.boot ?? 0 }
}

const sample = (value: number) => ({ name: 'x', value, unit: null, at: 1, quality: 0 })

/** Enough to fill many pages, closed so that everything lies in the database file. */
async function filled(folder: string): Promise<number> {
  const { store, boot } = await started(folder)
  await store.append(Array.from({ length: 3000 }, (_, i) => sample(i)))
  await store.close()
  return boot
}

async function spoil(path: string, at: number, length: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(Buffer.alloc(length, 0xa5), 0, length, at)
  await file.close()
}

const damages: Record<string, (path: string) => Promise<unknown>> = {
  'its first page is spoilt': (path) => spoil(path, 0, 4096),
  'it was cut to half': async (path) => truncate(path, (((await stat(path)).size / 2) | 0) - 100),
  'a page in the middle is spoilt': async (path) => spoil(path, Math.floor((await stat(path)).size / 8192) * 4096, 4096),
  'it holds something else': (path) => writeFile(path, 'x'.repeat(10_000), { mode: 0o600 }),
}

for (const [what, damage] of Object.entries(damages)) {
  test(`F-03 an outbox of which ${what} is put aside, a new one begun, and the gap told`, async (t) => {
    const folder = await folderOf(t)
    const before = await filled(folder)
    await damage(join(folder, 'outbox.db'))
    const { store, warnings, rows, boot } = await started(folder)
    t.after(() => store.close())
    assert.equal(store.status().state, 'ok')
    assert.equal(warnings.filter((line) => line.includes('damaged')).length, 1)
    const [gap, ...others] = await rows()
    assert.equal(others.length, 0)
    assert.equal(gap?.name, 'system/gap')
    assert.deepEqual(
      { ...(gap?.value as object) },
      { count: null, firstAt: null, lastAt: null, kind: 'damaged', file: 'outbox.db.corrupt-1' },
    )
    assert.ok(boot > before, 'the broker must not take new readings for those of an earlier boot')
    assert.ok((await readdir(folder)).includes('outbox.db.corrupt-1'))
    await store.append([sample(7)])
    assert.equal((await rows()).length, 2)
  })
}

test('F-03 an outbox that vanished begins anew above every earlier boot', async (t) => {
  const folder = await folderOf(t)
  const before = await filled(folder)
  await rm(join(folder, 'outbox.db'))
  const { store, boot } = await started(folder)
  await store.close()
  assert.equal(boot, before + 1)
})

test('F-03 a damaged floor is put aside, and with the outbox gone too the boot is still beyond all others', async (t) => {
  const folder = await folderOf(t)
  const before = await filled(folder)
  await writeFile(join(folder, 'floor'), '\0\0\0\0')
  await writeFile(join(folder, 'outbox.db'), 'no database at all, but something else', { mode: 0o600 })
  const { store, boot, warnings } = await started(folder)
  await store.close()
  assert.ok(boot > before + 1_000_000)
  assert.equal(warnings.length, 2)
  assert.ok((await readdir(folder)).includes('floor.corrupt-1'))
  const again = await started(folder)
  await again.store.close()
  assert.equal(again.boot, boot + 1)
})

test('F-03 of many damaged files the last three are kept', async (t) => {
  const folder = await folderOf(t)
  for (let i = 0; i < 5; i++) {
    await writeFile(join(folder, 'outbox.db'), `number ${i}, which is no database`, { mode: 0o600 })
    await (await started(folder)).store.close()
  }
  const aside = (await readdir(folder)).filter((name) => /corrupt-\d$/.test(name)).sort()
  assert.deepEqual(aside, ['outbox.db.corrupt-3', 'outbox.db.corrupt-4', 'outbox.db.corrupt-5'])
  assert.match(await readFile(join(folder, 'outbox.db.corrupt-5'), 'utf8'), /number 4/)
})

test('a reader of the floor writes nothing and takes no timestamp', async (t) => {
  const folder = await folderOf(t)
  const path = join(folder, 'floor')
  const log = { error() {}, warn() {}, info() {}, debug() {}, trace() {} }
  const owner = await Floors.open(path, systemClock, log)
  const reader = await Floors.open(path, systemClock, log, 'reader')
  owner.nextTimestamp()
  const before = await readFile(path, 'utf8')
  reader.raiseTime(systemClock.wall() + 10 * 86_400_000)
  assert.throws(() => reader.nextTimestamp(), /holder of the state folder/)
  assert.equal(await readFile(path, 'utf8'), before)
})
