/**
 * The outbox: readings that the broker has not acknowledged yet. This file is the pure part, the policy; the durable part is an
 * `OutboxStore` (sqlite3 on a device, simulated flash in firmware-sim).
 *
 * Law: a reading is durable before its publisher hears so, leaves only when the broker has it on disk, and is never dropped
 * silently: whatever a full outbox sheds is told by a gap record in the same stream.
 */
import { encodeCbor } from './cbor.ts'
import {
  extraItems,
  MAX_BATCH_BYTES,
  MAX_BATCH_READINGS,
  MAX_EXTRA_ITEMS,
  MAX_VALUE_BYTES,
  Quality,
  type Reading,
  type ReadingValue,
} from './reading.ts'
import { GAP_NAME, SYSTEM_PREFIX } from './topics.ts'

/** What a publisher gives: the outbox adds boot and seq. */
export interface Sample {
  readonly name: string
  readonly value: ReadingValue
  readonly unit: string | null
  readonly at: number
  readonly quality: number
}

/** What goes first when room is needed: vital signs, then sensors, then the records of gaps. */
export const Priority = { vital: 0, sensor: 1, gap: 2 } as const
export type Priority = (typeof Priority)[keyof typeof Priority]

export interface OutboxRow extends Reading {
  readonly boot: number
  readonly priority: Priority
  /** Bytes that the row counts for against the limit. */
  readonly bytes: number
}

export interface OutboxLimits {
  readonly rows: number
  readonly bytes: number
}

export interface OutboxLevel {
  readonly rows: number
  readonly bytes: number
}

/** What one shedding removed. */
export interface Shed {
  readonly rows: number
  readonly bytes: number
  readonly firstAt: number
  readonly lastAt: number
}

/** The durable half. Every promise settles after the storage holds the change; a refused promise has changed nothing. */
export interface OutboxStore {
  /** The next boot's number: the stored one plus one, at least `least`; stored before it is returned. */
  nextBoot(least?: number): Promise<number>
  level(): Promise<OutboxLevel>
  /** All rows, or none, in one commit. */
  append(rows: readonly OutboxRow[]): Promise<void>
  /** Up to `limit` rows after (boot, seq), oldest first. */
  after(boot: number, seq: number, limit: number): Promise<OutboxRow[]>
  /** Removes the rows of `boot` up to and with `seq`, and those of every earlier boot; tells how much went. */
  remove(boot: number, seq: number): Promise<OutboxLevel>
  /** Removes the oldest rows of `priority`, at most `rows`, and adds the `gap` made of them, in one commit. Without any, nothing. */
  shed(priority: Priority, rows: number, gap: (shed: Shed) => OutboxRow): Promise<Shed>
  close(): Promise<void>
}

export const priorityOf = (sample: { name: string }): Priority =>
  sample.name === GAP_NAME ? Priority.gap : sample.name.startsWith(SYSTEM_PREFIX) ? Priority.vital : Priority.sensor

/** A rough but stable size: the encoded value and the texts, and what a row costs beside them. */
export const rowBytes = (sample: Sample): number =>
  48 + sample.name.length + (sample.unit?.length ?? 0) + encodeCbor(sample.value as never).length

export const gapSample = (shed: Shed, kind: string, at: number): Sample =>
  gapOf({ count: shed.rows, firstAt: shed.firstAt, lastAt: shed.lastAt, kind }, at)

/** The record of a store that was damaged: how many readings it held, nobody knows. `file`: what it is called now. */
export const damageSample = (file: string, at: number): Sample =>
  gapOf({ count: null, firstAt: null, lastAt: null, kind: 'damaged', file }, at)

/** The record of one reading that the broker would never take. */
export const refusedSample = ({ boot, seq }: { boot: number; seq: number }, at: number): Sample =>
  gapOf({ count: 1, firstAt: null, lastAt: null, kind: 'refused', boot, seq }, at)

const gapOf = (value: ReadingValue, at: number): Sample => ({ name: GAP_NAME, value, unit: null, at, quality: Quality.gap })

/** How many of `rows` fit one batch together: by count, by encoded bytes and by the decoder's item budget. At least one. */
export function batchLength(rows: readonly OutboxRow[]): number {
  let bytes = 16
  let extra = 0
  let length = 0
  for (const row of rows) {
    bytes += row.bytes
    extra += extraItems(row.value)
    const sameBoot = row.boot === rows[0]?.boot
    if (!sameBoot || length === MAX_BATCH_READINGS || bytes > MAX_BATCH_BYTES || extra > MAX_EXTRA_ITEMS) break
    length += 1
  }
  return Math.max(length, Math.min(1, rows.length))
}

/** Whether a sample can travel at all. */
export const isSendable = (sample: Sample): boolean =>
  extraItems(sample.value) <= MAX_EXTRA_ITEMS && encodeCbor(sample.value as never).length <= MAX_VALUE_BYTES

export interface OutboxStatus extends OutboxLevel {
  readonly limits: OutboxLimits
  readonly boot: number
  /** Readings shed since the start. */
  readonly shed: number
}

interface Waiting {
  readonly samples: readonly Sample[]
  resolve(): void
  reject(error: unknown): void
}

/** Samples that one commit takes at most. */
const COMMIT_LIMIT = 2000

/**
 * Numbers samples, commits them in groups (all that came while the last commit ran go into the next), and sheds by policy when the
 * outbox is full: the oldest vital signs first, then the oldest sensor readings.
 */
export class Outbox {
  readonly #store: OutboxStore
  readonly #limits: OutboxLimits
  readonly #boot: number
  readonly #now: () => number
  readonly #onAppended: () => void
  #level: OutboxLevel
  #seq = 0
  #shed = 0
  #waiting: Waiting[] = []
  #committing = false

  private constructor(store: OutboxStore, options: OutboxOptions, boot: number, level: OutboxLevel) {
    this.#store = store
    this.#limits = options.limits
    this.#now = options.now
    this.#onAppended = options.onAppended ?? (() => {})
    this.#boot = boot
    this.#level = level
  }

  static async open(store: OutboxStore, options: OutboxOptions): Promise<Outbox> {
    const boot = await store.nextBoot(options.leastBoot)
    return new Outbox(store, options, boot, await store.level())
  }

  get status(): OutboxStatus {
    return { ...this.#level, limits: this.#limits, boot: this.#boot, shed: this.#shed }
  }

  /** Resolves when all of `samples` are durable; rejects when none of them is. */
  append(samples: readonly Sample[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ samples, resolve, reject })
      if (!this.#committing) void this.#commitAll()
    })
  }

  after(position: { boot: number; seq: number }, limit: number): Promise<OutboxRow[]> {
    return this.#store.after(position.boot, position.seq, limit)
  }

  /** The broker has everything up to there. */
  async remove(position: { boot: number; seq: number }): Promise<void> {
    this.#grow(await this.#store.remove(position.boot, position.seq), -1)
  }

  async #commitAll(): Promise<void> {
    this.#committing = true
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup()
      const samples = group.flatMap((waiting) => waiting.samples)
      try {
        await this.#makeRoom(samples)
        // Numbered only now: a gap record made above must not overtake the rows that follow it.
        const rows = samples.map((sample) => this.#row(sample))
        if (rows.length > 0) await this.#store.append(rows)
        this.#grow({ rows: rows.length, bytes: sum(rows) }, 1)
        for (const waiting of group) waiting.resolve()
        this.#onAppended()
      } catch (error) {
        for (const waiting of group) waiting.reject(error)
      }
    }
    this.#committing = false
  }

  #takeGroup(): Waiting[] {
    let samples = 0
    let length = 0
    for (const waiting of this.#waiting) {
      samples += waiting.samples.length
      if (length > 0 && samples > COMMIT_LIMIT) break
      length += 1
    }
    return this.#waiting.splice(0, length)
  }

  #row(sample: Sample): OutboxRow {
    this.#seq += 1
    return { ...sample, boot: this.#boot, seq: this.#seq, priority: priorityOf(sample), bytes: rowBytes(sample) }
  }

  /** Sheds until the samples fit; a little more than needed, so that a full outbox does not shed at every reading. */
  async #makeRoom(samples: readonly Sample[]): Promise<void> {
    const bytes = samples.reduce((total, sample) => total + rowBytes(sample), 0)
    for (const priority of [Priority.vital, Priority.sensor, Priority.gap]) {
      while (this.#lacks(samples.length, bytes)) {
        const short = Math.max(0, this.#level.rows + samples.length - this.#limits.rows)
        // One more, since the gap's record takes a row itself.
        if ((await this.#shedOldest(priority, 1 + short + Math.ceil(this.#limits.rows / 100))) <= 1) break
      }
    }
  }

  #lacks(rows: number, bytes: number): boolean {
    return this.#level.rows + rows > this.#limits.rows || this.#level.bytes + bytes > this.#limits.bytes
  }

  /** Returns how many went. */
  async #shedOldest(priority: Priority, rows: number): Promise<number> {
    const kind = (['vital', 'sensor', 'gap'] as const)[priority]
    let record: OutboxRow | undefined
    const shed = await this.#store.shed(priority, rows, (gone) => {
      record = this.#row(gapSample(gone, kind, this.#now()))
      return record
    })
    this.#grow(shed, -1)
    if (record) this.#grow({ rows: 1, bytes: record.bytes }, 1)
    this.#shed += shed.rows
    return shed.rows
  }

  #grow({ rows, bytes }: OutboxLevel, sign: 1 | -1): void {
    this.#level = { rows: this.#level.rows + sign * rows, bytes: this.#level.bytes + sign * bytes }
  }
}

export interface OutboxOptions {
  readonly limits: OutboxLimits
  /** Number of this boot at least: where the store was lost, the broker must not take new readings for old ones. */
  readonly leastBoot?: number
  /** ms since 1970, for the records of gaps. */
  now(): number
  /** Something new waits for the broker. */
  onAppended?(): void
}

const sum = (rows: readonly OutboxRow[]): number => rows.reduce((total, row) => total + row.bytes, 0)
