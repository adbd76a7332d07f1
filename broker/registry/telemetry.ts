import { type Selectable, sql } from 'kysely'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'
import { decodeCbor } from '#shared/telemetry/cbor.ts'
import type { Reading } from '#shared/telemetry/reading.ts'
import { toReadingValue } from '#shared/telemetry/reading.ts'
import { PackedReadings } from './packed-readings.ts'
import type { ArrivalRow, TelemetryRow } from './schema.ts'
import type { StoreContext } from './store-context.ts'
import { encodeCursor, readCursor, type TelemetryCursor } from './telemetry-cursor.ts'
import { type Arrival, insertArrivals, insertReadings } from './telemetry-insert.ts'

export interface TelemetryBatch {
  readonly principalId: number
  readonly boot: number
  readonly readings: readonly Reading[]
}

export interface InsertResult {
  readonly inserted: number
  readonly duplicates: number
}

export interface StoredReading extends Reading {
  readonly boot: number
  /** Wall-clock ms when the broker stored it. */
  readonly receivedAt: number
}

export interface TelemetryQuery {
  deviceId: number
  /** A cursor that an earlier answer gave as `next`; from the beginning where undefined. */
  after?: string
  /** 1,000 unless said otherwise, 10,000 at most. */
  limit?: number
  /** Only readings of this name. */
  name?: string
  /** Only the last `limit` readings, still in ascending order; `after` is not looked at. */
  newest?: boolean
}

const defaultLimit = 1_000
const mostRows = 10_000
/** Readings in one transaction at most: some 100 ms of the database's time. */
const groupLimit = 20_000

type Row = Selectable<TelemetryRow> & Pick<Selectable<ArrivalRow>, 'received_at'>

/**
 * Readings, in the order in which they were stored. A reading is (device, boot, seq) for ever: what comes twice is counted and left
 * out. Each batch that brought something new leaves one row in `arrivals`, and a follower's cursor walks along those.
 */
export class TelemetryStore {
  readonly #context: StoreContext
  readonly #batcher: CommitBatcher<readonly TelemetryBatch[], InsertResult>
  readonly #listeners = new Set<(principalId: number) => void>()
  #nextArrival: number
  #stored: number

  private constructor(context: StoreContext, nextArrival: number, stored: number) {
    this.#context = context
    this.#nextArrival = nextArrival
    this.#stored = stored
    this.#batcher = new CommitBatcher({ maxWeight: groupLimit, write: (calls) => this.#write(calls) })
  }

  static async load(context: StoreContext): Promise<TelemetryStore> {
    const row = await context.db
      .selectFrom('arrivals')
      .select(({ fn }) => [fn.max('id').as('last'), fn.sum<number>('readings').as('readings')])
      .executeTakeFirst()
    const { value } =
      (await context.db.selectFrom('settings').select('value').where('key', '=', lastPrunedKey).executeTakeFirst()) ?? {}
    return new TelemetryStore(context, Math.max(row?.last ?? 0, Number(value ?? 0)) + 1, Number(row?.readings ?? 0))
  }

  /** Readings on disk. */
  get stored(): number {
    return this.#stored
  }

  /** Resolves after the commit; all of it is on disk then. (device, boot, seq) that are there already count as duplicates. */
  insert(batches: readonly TelemetryBatch[]): Promise<InsertResult> {
    const weight = batches.reduce((sum, { readings }) => sum + readings.length, 0)
    if (weight === 0) return Promise.resolve({ inserted: 0, duplicates: 0 })
    return this.#batcher.add(batches, weight)
  }

  /** Throws AditError `usage` on a cursor that is none. */
  async query(query: TelemetryQuery): Promise<{ readings: StoredReading[]; next: string }> {
    const limit = Math.min(Math.max(Math.trunc(query.limit ?? defaultLimit), 1), mostRows)
    const after = readCursor(query.after)
    const rows = query.newest ? await this.#newest(query, limit) : await this.#following(query, after, limit)
    const last = rows.at(-1)
    const next = last ? { arrival: last.arrival, seq: last.seq } : query.newest ? await this.#end(query.deviceId) : after
    return { readings: rows.map(toStoredReading), next: encodeCursor(next) }
  }

  /** Tells of each device that has new readings, after their commit: for long polls. Returns how to stop. */
  onArrival(listener: (principalId: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Removes the oldest arrivals with their readings, at most `arrivals` of them, that are older than `before` (wall ms) or in excess
   * of `mostReadings`. Returns how many readings went. Small steps, so that an insert never waits long for its turn.
   */
  async prune(before: number, mostReadings: number, arrivals: number): Promise<number> {
    const { db } = this.#context
    const excess = this.#stored - mostReadings
    const removed = await db.transaction().execute(async (transaction) => {
      const oldest = await transaction.selectFrom('arrivals').selectAll().orderBy('id').limit(arrivals).execute()
      let sum = 0
      const going = oldest.filter((arrival) => {
        const goes = arrival.received_at < before || sum < excess
        if (goes) sum += arrival.readings
        return goes
      })
      const last = going.at(-1)
      if (!last) return 0
      for (const { id, device, boot, first_seq, last_seq } of going) {
        await transaction
          .deleteFrom('telemetry')
          .where('device', '=', device)
          .where('boot', '=', boot)
          .where('seq', '>=', first_seq)
          .where('seq', '<=', last_seq)
          .where('arrival', '=', id)
          .execute()
        await transaction.deleteFrom('arrivals').where('id', '=', id).execute()
      }
      // Numbers of arrivals are never used again, or a follower's cursor would skip new readings.
      await transaction
        .insertInto('settings')
        .values({ key: lastPrunedKey, value: String(last.id) })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value: String(last.id) }))
        .execute()
      return sum
    })
    this.#stored -= removed
    return removed
  }

  /** Removes a device's oldest arrivals with their readings, at most `arrivals`. Returns how many readings went; undefined: none are left. */
  async forget(deviceId: number, arrivals: number): Promise<number | undefined> {
    const { db } = this.#context
    const removed = await db.transaction().execute(async (transaction) => {
      const going = await transaction
        .selectFrom('arrivals')
        .selectAll()
        .where('device', '=', deviceId)
        .orderBy('id')
        .limit(arrivals)
        .execute()
      if (going.length === 0) {
        // What an arrival that is gone may have left.
        await transaction.deleteFrom('telemetry').where('device', '=', deviceId).execute()
        return undefined
      }
      for (const { boot, first_seq, last_seq } of going) {
        await transaction
          .deleteFrom('telemetry')
          .where('device', '=', deviceId)
          .where('boot', '=', boot)
          .where('seq', '>=', first_seq)
          .where('seq', '<=', last_seq)
          .execute()
      }
      const ids = going.map(({ id }) => id)
      await transaction.deleteFrom('arrivals').where('id', 'in', ids).execute()
      const last = String(Math.max(...ids))
      // Numbers of arrivals are never used again, or a follower's cursor would skip new readings.
      await sql`INSERT INTO settings (key, value) VALUES (${lastPrunedKey}, ${last})
        ON CONFLICT (key) DO UPDATE SET value = excluded.value
        WHERE CAST(excluded.value AS INTEGER) > CAST(settings.value AS INTEGER)`.execute(transaction)
      return going.reduce((sum, { readings }) => sum + readings, 0)
    })
    this.#stored -= removed ?? 0
    return removed
  }

  drained(): Promise<void> {
    return this.#batcher.drained()
  }

  /** One transaction for many calls: all readings in one statement, then one arrival for each batch that brought something new. */
  async #write(calls: readonly (readonly TelemetryBatch[])[]): Promise<InsertResult[]> {
    const packed = new PackedReadings(calls.flat().reduce((sum, { readings }) => sum + readings.length, 0))
    const arrivals: (Arrival & { call: number })[] = []
    for (const [call, batches] of calls.entries()) {
      for (const { principalId, boot, readings } of batches) {
        if (readings.length === 0) continue
        const arrival = { id: this.#nextArrival++, device: principalId, boot, ...seqRange(readings), call }
        arrivals.push(arrival)
        for (const reading of readings) packed.add(principalId, boot, arrival.id, reading)
      }
    }
    const receivedAt = this.#context.clock.wall()
    const insertedBy = await this.#context.db.transaction().execute(async (transaction) => {
      await insertReadings(transaction, packed)
      return insertArrivals(transaction, arrivals, receivedAt)
    })
    return this.#results(calls, arrivals, insertedBy)
  }

  #results(
    calls: readonly (readonly TelemetryBatch[])[],
    arrivals: readonly (Arrival & { call: number })[],
    insertedBy: ReadonlyMap<number, number>,
  ): InsertResult[] {
    const inserted = calls.map(() => 0)
    const devices = new Set<number>()
    for (const { id, device, call } of arrivals) {
      const count = insertedBy.get(id) ?? 0
      if (count > 0) devices.add(device)
      inserted[call] = (inserted[call] ?? 0) + count
      this.#stored += count
    }
    for (const device of devices) for (const listener of this.#listeners) listener(device)
    return calls.map((batches, call) => {
      const offered = batches.reduce((sum, { readings }) => sum + readings.length, 0)
      return { inserted: inserted[call] ?? 0, duplicates: offered - (inserted[call] ?? 0) }
    })
  }

  async #following({ deviceId, name }: TelemetryQuery, after: TelemetryCursor, limit: number): Promise<Row[]> {
    const named = name === undefined ? sql`` : sql`AND t.name = ${name}`
    const { rows } = await sql<Row>`SELECT t.*, a.received_at FROM arrivals a
      CROSS JOIN telemetry t ON t.device = a.device AND t.boot = a.boot AND t.seq BETWEEN a.first_seq AND a.last_seq AND t.arrival = a.id
      WHERE a.device = ${deviceId} AND a.id >= ${after.arrival} AND (a.id > ${after.arrival} OR t.seq > ${after.seq}) ${named}
      ORDER BY a.id, t.seq LIMIT ${limit}`.execute(this.#context.db)
    return rows
  }

  async #newest({ deviceId, name }: TelemetryQuery, limit: number): Promise<Row[]> {
    const named = name === undefined ? sql`` : sql`AND t.name = ${name}`
    const { rows } = await sql<Row>`SELECT t.*, a.received_at FROM arrivals a
      CROSS JOIN telemetry t ON t.device = a.device AND t.boot = a.boot AND t.seq BETWEEN a.first_seq AND a.last_seq AND t.arrival = a.id
      WHERE a.device = ${deviceId} ${named}
      ORDER BY a.id DESC, t.seq DESC LIMIT ${limit}`.execute(this.#context.db)
    return rows.reverse()
  }

  /** The cursor behind everything that is stored of the device. */
  async #end(deviceId: number): Promise<TelemetryCursor> {
    const row = await this.#context.db
      .selectFrom('arrivals')
      .select(['id', 'last_seq'])
      .where('device', '=', deviceId)
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst()
    return row ? { arrival: row.id, seq: row.last_seq } : { arrival: 0, seq: 0 }
  }
}

const lastPrunedKey = 'telemetry.last-pruned'

function seqRange(readings: readonly Reading[]): { firstSeq: number; lastSeq: number } {
  let firstSeq = Number.POSITIVE_INFINITY
  let lastSeq = 0
  for (const { seq } of readings) {
    if (seq < firstSeq) firstSeq = seq
    if (seq > lastSeq) lastSeq = seq
  }
  return { firstSeq, lastSeq }
}

const toStoredReading = (row: Row): StoredReading => ({
  boot: row.boot,
  seq: row.seq,
  name: row.name,
  value: toReadingValue(decodeCbor(row.value)),
  unit: row.unit,
  at: row.at,
  quality: row.quality,
  receivedAt: row.received_at,
})
