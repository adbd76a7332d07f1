/** Issue 6: a whole batch over all three ways at once, with everything that happens to a batch; then every board is accounted for. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { LineFixture } from '#test/agent/station/station-fixture.ts'
import { LineBoard } from '#test/scenarios/line-board.ts'
import { type Fate, fatesOf } from '#test/scenarios/line-fates.ts'
import { Hall } from '#test/scenarios/line-hall.ts'

const seed = Number(process.env.ADIT_LINE_SEED ?? 500)
const boards = 500
/** Boards on their way at once. */
const hands = 12
/** The broker is away from the first of these boards to the second. */
const absences = [
  [90, 170],
  [320, 420],
] as const

test(`a line of ${boards} boards: every one has one identity, and nothing is lost`, { timeout: 240_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-500-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const line = await LineFixture.open(t)
  const { fixture, registry } = line
  fixture.listen = new URL(fixture.api.url).host
  const first = await Hall.open({ ...line.ports(), path: await line.init({ quota: 700 }) })
  t.after(() => first.close())
  const second = await Hall.open({ ...line.ports(), path: await line.init({ name: 'line-2', quota: 100 }), mode: 'offline' })
  t.after(() => second.close())

  const told = new Map<string, UnitRecord>()
  const made = new Map<string, LineBoard>()
  const twins = new Map<string, LineBoard>()
  const times: number[] = []
  const tally = new Map<string, number>()
  const count = (what: string): void => void tally.set(what, (tally.get(what) ?? 0) + 1)

  const where = ({ serial, way }: Fate, what: string): string => `seed ${seed}, board ${serial} (${way}): ${what}`

  /** Until it is delivered; every try that fails has a reason in this board's fate or in the station's. */
  async function bring(board: LineBoard): Promise<void> {
    const { fate } = board
    let cutAt = fate.stationCut
    for (let tries = 1; tries < 20; tries += 1) {
      const { cuts } = first
      const outcome = await board.provision(first, fate.serial, cutAt)
      cutAt = undefined
      const befell = board.befell()
      if (outcome.ok) {
        assert.equal(outcome.record.step, 'delivered', where(fate, 'delivered'))
        told.set(fate.serial, outcome.record)
        return
      }
      count(outcome.error.code)
      const { code } = outcome.error
      const noise = fate.garbage !== undefined && code === 'line-lost'
      const full = fate.card.full && code === 'disk-full'
      if (full) await board.insertCard()
      assert.ok(first.cuts > cuts || befell || noise || full, where(fate, `${code}: ${outcome.error.message}`))
    }
    assert.fail(where(fate, 'is never delivered'))
  }

  /** Another number was typed: what becomes of that, until the right one is. */
  async function mistype(board: LineBoard, serial: string): Promise<void> {
    const { fate } = board
    const { cuts } = first
    if (fate.way === 'network') {
      // It would wait for a board that never comes; the person sees it, and ends it.
      await first.at(({ desk }) => desk.open(serial, 'network'))
      await first.at(({ desk }) => desk.failed(serial, new AditError('line-lost', 'Nobody came.', 'Scan it again.')))
      return
    }
    const outcome = await board.provision(first, serial)
    const befell = board.befell() || fate.garbage !== undefined
    if (fate.way === 'serial') {
      if (!outcome.ok && first.cuts === cuts && !befell)
        assert.equal(outcome.error.code, 'serial-mismatch', where(fate, 'mistyped'))
      assert.equal(outcome.ok, false, where(fate, 'mistyped, and delivered'))
      return
    }
    if (outcome.ok) {
      const corrected = await board.provision(first, fate.serial)
      if (!corrected.ok && first.cuts === cuts)
        assert.equal(corrected.error.code, 'card-refused', where(fate, 'another unit in its card'))
      assert.equal(corrected.ok, false, where(fate, 'another unit in its card, and overwritten'))
    }
    await first.at(async ({ desk }) => (await desk.record(serial)) && desk.scrap(serial, 'mistyped'))
    await board.insertCard()
  }

  /** The same number once more: nothing happens, and a card that lies in the reader stays empty. */
  async function rescan(board: LineBoard): Promise<void> {
    const { fate } = board
    await board.insertCard()
    for (let tries = 1; ; tries += 1) {
      const { cuts } = first
      const outcome = await board.provision(first, fate.serial)
      if (!outcome.ok && first.cuts > cuts && tries < 20) continue
      assert.ok(outcome.ok && outcome.again, where(fate, 'scanned again'))
      assert.equal(outcome.record.certificateSerial, told.get(fate.serial)?.certificateSerial, where(fate, 'scanned again'))
      if (fate.way === 'image') assert.equal(await board.cardIsUsed(), false, where(fate, 'scanned again'))
      return
    }
  }

  /** Its number comes to the second station, which knows nothing of the first. */
  async function elsewhere(board: LineBoard, who: 'twin' | 'itself'): Promise<void> {
    const { fate } = board
    const calm = { ...fate, boardCut: undefined, pulledAfter: undefined, garbage: undefined, card: { ...fate.card, full: false } }
    const other = who === 'itself' ? board : await LineBoard.make(calm, join(folder, 'twins'), fixture.clock)
    for (let tries = 1; tries < 20; tries += 1) {
      const outcome = await other.provision(second, fate.serial)
      if (!outcome.ok && outcome.error.code === 'line-lost' && fate.garbage) continue
      if (who === 'itself') assert.equal(!outcome.ok && outcome.error.code, 'serial-mismatch', where(fate, 'at two stations'))
      else assert.ok(outcome.ok, where(fate, `a twin: ${outcome.ok || outcome.error.message}`))
      break
    }
    if (who === 'itself') return
    if (fate.way === 'image') await other.adoptCard()
    twins.set(fate.serial, other)
  }

  async function play(fate: Fate): Promise<void> {
    const board = await LineBoard.make(fate, folder, fixture.clock)
    made.set(fate.serial, board)
    if (fate.mistyped !== undefined) await mistype(board, fate.mistyped)
    const start = performance.now()
    if (fate.rescanned) {
      const openings = await first.at(({ desk }) => Promise.all([1, 2, 3].map(() => desk.open(fate.serial, fate.way))))
      assert.equal(new Set(openings.map(({ name }) => name)).size, 1, where(fate, 'scanned by three hands'))
    }
    await bring(board)
    times.push(performance.now() - start)
    if (fate.way === 'image') await board.adoptCard()
    if (fate.rescanned) await rescan(board)
    if (fate.elsewhere !== undefined) await elsewhere(board, fate.elsewhere)
  }

  let away = false
  async function absence(n: number): Promise<void> {
    if (absences.some(([from]) => from === n)) {
      away = true
      await fixture.api.close()
    }
    if (!absences.some(([, to]) => to === n)) return
    await fixture.start()
    away = false
    await first.at(async (station) => {
      for (;;) {
        try {
          await station.look()
          await station.sync()
          return
        } catch (error) {
          // Boards go on meanwhile, and a sync that runs until it has all of them may see the broker go again.
          if (away) return
          // Broker, stations and boards share this thread, which may be too busy to answer in time: a person would try again.
          if (!isAditError(error) || error.code !== 'broker-unreachable') throw error
        }
      }
    })
  }

  const fates = fatesOf(seed, boards)
  const start = performance.now()
  let next = 0
  const hand = async (): Promise<void> => {
    for (let n = next++; n < boards; n = next++) {
      await absence(n)
      await play(fates[n]!)
    }
  }
  const ends = Array.from({ length: hands }, () =>
    hand().catch((error) => {
      next = boards
      throw error
    }),
  )
  await Promise.allSettled(ends)
  await Promise.all(ends)
  const seconds = (performance.now() - start) / 1_000

  // Boards whose station lost its power between its ledger and its word to them call again.
  const door = await first.openDoor()
  let late = 0
  for (const board of made.values())
    if (!(await board.isWhole())) {
      late += 1
      await board.finish(first.token)
    }
  await door.close()

  const { station: one } = await first.shift
  const { station: two } = await second.shift
  await one.look()
  const synced = await one.sync()
  assert.equal(synced.conflicts, 0, `seed ${seed}`)
  assert.deepEqual(await one.sync(), { ...synced, sent: 0 }, `seed ${seed}`)
  const doubles = fates.filter((fate) => fate.elsewhere !== undefined)
  const syncedTwo = await two.sync()
  assert.equal(syncedTwo.conflicts, doubles.length, `seed ${seed}`)
  assert.deepEqual(await two.sync(), { ...syncedTwo, sent: 0 }, `seed ${seed}`)

  // The ledgers: everything that was told is there, and as it was told.
  const records = new Map((await one.desk.records()).map((record) => [record.serial, record]))
  const elsewhereRecords = await two.desk.records()
  const mistyped = new Map(fates.filter((fate) => fate.mistyped).map((fate) => [fate.mistyped!, fate]))
  for (const { serial, step } of records.values())
    assert.ok(told.has(serial) || (mistyped.has(serial) && step !== 'delivered'), `seed ${seed}, unit ${serial}: ${step}`)
  for (const fate of fates) {
    const [record, promise] = [records.get(fate.serial), told.get(fate.serial)]
    assert.equal(record?.step, 'delivered', where(fate, 'lost'))
    assert.equal(record?.name, promise?.name, where(fate, 'another name'))
    assert.equal(record?.certificateSerial, promise?.certificateSerial, where(fate, 'another certificate'))
  }
  const names = [...records.values(), ...elsewhereRecords].map(({ name }) => name)
  assert.equal(new Set(names).size, names.length, `seed ${seed}: a name twice`)
  const proof = await one.verify()
  const scrapped = [...records.values()].filter(({ step }) => step === 'scrapped').length
  const certified = [...records.values()].filter(({ certificateSerial }) => certificateSerial !== undefined).length
  assert.deepEqual(
    { ...proof, entries: 0, seals: 0 },
    {
      entries: 0,
      seals: 0,
      units: records.size,
      certificates: certified,
      delivered: boards,
      scrapped,
    },
  )
  // A unit that was scrapped may have lost its station before it was certified; no other unit but a delivered one has a certificate.
  const ended = new Set(['delivered', 'scrapped'])
  const nobodys = [...records.values()].filter(
    ({ step, certificateSerial }) => certificateSerial !== undefined && !ended.has(step),
  )
  assert.deepEqual(nobodys, [], `seed ${seed}: certificates of nobody`)
  assert.deepEqual(await one.ledger.secretUnits(), [], `seed ${seed}: keys that should be gone`)
  await two.verify()

  // The broker: exactly these devices, by exactly these certificates.
  const alive = [...registry.directory.all('device')].filter(({ revokedAt }) => revokedAt === undefined)
  assert.deepEqual(alive.map(({ name }) => name).sort(), [...told.values()].map(({ name }) => name).sort())
  const rows = await registry.stationUnits.list(registry.stations.get('line-1'))
  for (const fate of fates) {
    const board = made.get(fate.serial)!
    assert.ok(await board.isWhole(), where(fate, 'is nobody'))
    const { name, spki, tunnelKey, as } = await board.identity()
    const record = records.get(fate.serial)!
    assert.deepEqual([name, spki], [record.name, record.spkiSha256], where(fate, 'another key than the ledger has'))
    const device = registry.devices.get(record.name)
    assert.equal(device.tunnelKey, tunnelKey, where(fate, 'another tunnel key than the broker has'))
    const standing = rows.filter(({ unit, state }) => unit === fate.serial && state !== 'replaced')
    assert.deepEqual(
      standing.map(({ state, serial }) => [state, serial]),
      [['delivered', record.certificateSerial]],
      where(fate, 'at the broker'),
    )
    // Where the broker's answer was lost, the station has certified the same key: that one counts, and nobody ever had the other.
    const replaced = new Set(rows.filter(({ state }) => state === 'replaced').map(({ serial }) => serial))
    const living = (await registry.certificates.list(device.id)).filter(({ revokedAt }) => revokedAt === undefined)
    const own = living.filter(({ serialHex }) => !replaced.has(serialHex)).map(({ serialHex }) => serialHex)
    assert.deepEqual(own, [record.certificateSerial], where(fate, 'living certificates'))
    assert.deepEqual([...new Set(living.map(({ spkiSha256Hex }) => spkiSha256Hex))], [spki], where(fate, 'one living key'))
    const { status, json } = await fixture.ask('/v1/agent/config', { as })
    assert.deepEqual([status, json?.name], [200, record.name], where(fate, 'calls the broker'))
  }

  // Two records of one board: both are shown, and the second is nobody.
  const conflicts = await registry.stationUnits.conflicts({ all: true })
  assert.deepEqual(conflicts.map(({ ours }) => ours.unit).sort(), doubles.map(({ serial }) => serial).sort())
  const atTwo = new Map(elsewhereRecords.map((record) => [record.serial, record]))
  const carried = new Set(doubles.filter(({ elsewhere: who }) => who === 'itself').map(({ serial }) => serial))
  for (const { kind, ours, other } of conflicts) {
    // A board that was carried there has its own key with it, which says more than its number.
    const of = carried.has(ours.unit!) ? ['key-taken', undefined, undefined] : ['serial-twice', 'line-1', ours.unit]
    const [here, there] = [records.get(ours.unit!), atTwo.get(ours.unit!)]
    assert.deepEqual(
      [[kind, other.station, other.unit], ours.station, ours.name, other.name],
      [of, 'line-2', there?.name, here?.name],
      `seed ${seed}, board ${ours.unit}`,
    )
  }
  for (const [serial, twin] of twins) {
    const { as } = await twin.identity()
    assert.equal((await fixture.ask('/v1/agent/config', { as })).status, 403, `seed ${seed}, twin of ${serial}`)
  }

  times.sort((a, b) => a - b)
  const at = (part: number): string => `${Math.round(times[Math.min(times.length - 1, Math.floor(part * times.length))]!)} ms`
  const failures = [...tally].map(([code, n]) => `${code} ${n}`).join(', ')
  const misfortunes = `${first.cuts} power cuts of the station, ${mistyped.size} wrong numbers, ${doubles.length} doubles, ${late} called again`
  t.diagnostic(
    `seed ${seed}: n ${times.length}, p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}; ${hands} at once, ${seconds.toFixed(1)} s`,
  )
  t.diagnostic(`${misfortunes}; tries that failed: ${failures}`)
})
