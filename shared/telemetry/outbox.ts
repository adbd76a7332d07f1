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
  /** The next boot's number: the stored one plus one, stored before it is returned. */
  nextBoot(): Promise<number>
  level(): Promise<OutboxLevel>
  /** All rows, or none, in one commit. */
  append(rows: readonly OutboxRow[]): Promise<void>
  /** Up to `limit` rows after (boot, seq), oldest first. */
  after(boot: number, seq: number, limit: number): Promise<OutboxRow[]>
  /** Removes the rows of `boot` up to and with `seq`, and those of every earlier boot. */
  remove(boot: number, seq: number): Promise<OutboxLevel>
  /** Removes the oldest rows of `priority`, at most `rows`, and adds `gap`, in one commit. The gap's value is made of what went. */
  shed(priority: Priority, rows: number, gap: (shed: Shed) => OutboxRow): Promise<OutboxLevel>
  close(): Promise<void>
}

export const priorityOf = (sample: { name: string }): Priority =>
  sample.name === GAP_NAME ? Priority.gap : sample.name.startsWith(SYSTEM_PREFIX) ? Priority.vital : Priority.sensor

/** A rough but stable size: the encoded value and the texts, and what a row costs beside them. */
export const rowBytes = (sample: Sample): number =>
  48 + sample.name.length + (sample.unit?.length ?? 0) + encodeCbor(sample.value as never).length

export const gapSample = (shed: Shed, kind: string, at: number): Sample => ({
  name: GAP_NAME,
  value: { count: shed.rows, firstAt: shed.firstAt, lastAt: shed.lastAt, kind },
  unit: null,
  at,
  quality: Quality.gap,
})

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
