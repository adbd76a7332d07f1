/**
 * A reading, and the batch in which readings travel from agent to broker: one CBOR item (RFC 8949),
 *
 *   [1, boot, [[seq, name, value, unit | null, at, quality], …]]
 *
 * `boot` counts the agent's starts, `seq` grows strictly within a boot; together they name a reading for ever, so that the
 * broker can remove what comes twice. Limits hold for both directions: a batch that the encoder makes, the decoder takes.
 */
import { type CborValue, decodeCbor, encodeCbor } from './cbor.ts'
import { readPlainBatch } from './plain-batch.ts'
import { isReadingName } from './topics.ts'

export const BATCH_VERSION = 1
/** Readings in a batch at most; seven CBOR items each keep a batch of plain readings inside the decoder's budget of 4096. */
export const MAX_BATCH_READINGS = 500
/** Bytes of an encoded batch at most. */
export const MAX_BATCH_BYTES = 64 * 1024
/** CBOR items of all values in a batch at most, beyond the one item that a plain value is. */
export const MAX_EXTRA_ITEMS = 512
/** Bytes of one value, encoded, at most. */
export const MAX_VALUE_BYTES = 4096
/** Characters of a unit at most. */
export const MAX_UNIT_LENGTH = 32
const MAX_VALUE_DEPTH = 8

export type ReadingValue = number | string | boolean | null | Uint8Array | readonly ReadingValue[] | ReadingMap
export interface ReadingMap {
  readonly [key: string]: ReadingValue
}

/** How far a reading can be trusted: bits, 0 is good. */
export const Quality = {
  good: 0,
  /** The device's clock stood below its time floor when it was taken: `at` is the floor, not the time. */
  clockUnsure: 1,
  /** A gap record: readings were dropped, and this one says how many. */
  gap: 2,
} as const

export interface Reading {
  /** Strictly growing within a boot, from 1; at most 2^53 - 1. */
  readonly seq: number
  readonly name: string
  readonly value: ReadingValue
  readonly unit: string | null
  /** When it was taken, ms since 1970 by the device's clock. */
  readonly at: number
  readonly quality: number
}

export interface Batch {
  /** Starts of the agent, from 1. */
  readonly boot: number
  readonly readings: readonly Reading[]
}

/** Bytes that are no batch. The code names the broken rule. */
export class BatchError extends Error {
  override readonly name = 'BatchError'
  readonly code: 'cbor' | 'shape' | 'version' | 'limit' | 'order' | 'name' | 'value'
  constructor(code: BatchError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** The batch as CBOR. Throws BatchError where the readings break a limit, so that nothing is sent that would be refused. */
export function encodeBatch(boot: number, readings: readonly Reading[]): Uint8Array {
  if (readings.length > MAX_BATCH_READINGS) throw new BatchError('limit', `${readings.length} readings in one batch`)
  const rows = readings.map((r) => [r.seq, r.name, r.value, r.unit, r.at, r.quality])
  const bytes = encodeCbor([BATCH_VERSION, boot, rows] as CborValue)
  if (bytes.length > MAX_BATCH_BYTES) throw new BatchError('limit', `a batch of ${bytes.length} bytes`)
  return bytes
}

/** Throws BatchError on anything but a whole, well-formed batch whose `seq` grow strictly. */
export function decodeBatch(bytes: Uint8Array): Batch {
  if (bytes.length > MAX_BATCH_BYTES) throw new BatchError('limit', `a batch of ${bytes.length} bytes`)
  return readPlainBatch(bytes, BATCH_VERSION, plainLimits) ?? decodeAnyBatch(bytes)
}

const plainLimits = { readings: MAX_BATCH_READINGS, unitLength: MAX_UNIT_LENGTH } as const

/** Whatever is in the batch; item by item, by the rules one after the other. */
export function decodeAnyBatch(bytes: Uint8Array): Batch {
  const [version, boot, rows, ...rest] = list(decoded(bytes), 'a batch')
  if (version !== BATCH_VERSION) throw new BatchError('version', 'an unknown batch version')
  if (rest.length > 0) throw new BatchError('shape', 'a batch has three items')
  const items = list(rows, 'the list of readings')
  if (items.length > MAX_BATCH_READINGS) throw new BatchError('limit', `${items.length} readings in one batch`)
  let last = 0
  const readings = items.map((item) => {
    const reading = decodeReading(item)
    if (reading.seq <= last) throw new BatchError('order', `seq ${reading.seq} after ${last}`)
    last = reading.seq
    return reading
  })
  return { boot: unsigned(boot, 'boot', 1), readings }
}

/** A value from a stranger (CBOR or JSON) as a reading's value; maps become plain objects without prototype. Throws BatchError. */
export function toReadingValue(value: unknown, depth = 0): ReadingValue {
  if (value === null || typeof value === 'boolean' || typeof value === 'string' || value instanceof Uint8Array) return value
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new BatchError('value', 'a value that is not a finite number')
    return value
  }
  if (typeof value === 'bigint') return Number(value)
  if (depth >= MAX_VALUE_DEPTH) throw new BatchError('limit', `a value deeper than ${MAX_VALUE_DEPTH}`)
  if (Array.isArray(value)) return value.map((item) => toReadingValue(item, depth + 1))
  const map: Record<string, ReadingValue> = Object.create(null)
  for (const [key, item] of entriesOf(value)) map[key] = toReadingValue(item, depth + 1)
  return map
}

/** CBOR items of a value beyond the first: what it takes from `MAX_EXTRA_ITEMS`. */
export function extraItems(value: ReadingValue): number {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return 0
  if (Array.isArray(value)) return value.reduce((sum: number, item: ReadingValue) => sum + 1 + extraItems(item), 0)
  return Object.values(value as ReadingMap).reduce((sum: number, item) => sum + 2 + extraItems(item), 0)
}

function decoded(bytes: Uint8Array): unknown {
  try {
    return decodeCbor(bytes)
  } catch (cause) {
    throw new BatchError('cbor', cause instanceof Error ? cause.message : 'not CBOR', { cause })
  }
}

function decodeReading(item: unknown): Reading {
  const fields = list(item, 'a reading')
  if (fields.length !== 6) throw new BatchError('shape', 'a reading has six items')
  const [seq, name, value, unit, at, quality] = fields
  if (typeof name !== 'string' || !isReadingName(name)) throw new BatchError('name', 'a reading with an unusable name')
  if (unit !== null && (typeof unit !== 'string' || unit.length > MAX_UNIT_LENGTH))
    throw new BatchError('value', 'a unit is a short text or null')
  return {
    seq: unsigned(seq, 'seq', 1),
    name,
    value: toReadingValue(value),
    unit,
    at: unsigned(at, 'at', 0),
    quality: unsigned(quality, 'quality', 0),
  }
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new BatchError('shape', `${what} is not an array`)
  return value
}

function unsigned(value: unknown, what: string, min: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < min)
    throw new BatchError('shape', `${what} is not a number from ${min}`)
  return value as number
}

function* entriesOf(value: unknown): Iterable<[string, unknown]> {
  if (typeof value !== 'object' || value === null) throw new BatchError('value', `a value cannot be ${typeof value}`)
  const entries: Iterable<[unknown, unknown]> = value instanceof Map ? value : Object.entries(value)
  for (const [key, item] of entries) {
    if (typeof key !== 'string') throw new BatchError('value', 'the keys of a map are texts')
    yield [key, item]
  }
}
