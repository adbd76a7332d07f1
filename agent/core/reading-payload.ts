/**
 * What a local program publishes to `sensors/NAME`: text of a number, JSON, or CBOR; one reading or an array of them. A reading is a
 * bare value, or a map {value, unit?, at?, name?} where `at` is ms since 1970 or an ISO 8601 text. A map without `value` is itself
 * the value.
 *
 * Text is tried first, since every text of a number or of JSON is unlike the CBOR that sensors send but for single-byte negative
 * integers; then CBOR.
 */
import { decodeCbor } from '#shared/telemetry/cbor.ts'
import { isSendable, type Sample } from '#shared/telemetry/outbox.ts'
import { BatchError, MAX_UNIT_LENGTH, toReadingValue } from '#shared/telemetry/reading.ts'
import { isReadingName, SYSTEM_PREFIX } from '#shared/telemetry/topics.ts'

/** Bytes of one local payload at most. */
export const MAX_PAYLOAD = 64 * 1024
/** Readings in one local payload at most: it is one commit. */
export const MAX_PAYLOAD_READINGS = 2000

/** A publisher's mistake: the message tells what is wrong with the payload. */
export class PayloadError extends Error {
  override readonly name = 'PayloadError'
}

/** What is added to readings that do not say it themselves. */
export interface Stamp {
  /** ms since 1970. */
  readonly at: number
  readonly quality: number
}

/** The samples of one payload published under `name`. Throws PayloadError; then none of it is taken. */
export function parsePayload(name: string, payload: Uint8Array, stamp: Stamp): Sample[] {
  if (payload.length > MAX_PAYLOAD) throw new PayloadError(`${payload.length} bytes are more than ${MAX_PAYLOAD}`)
  return samplesOf(name, decodePayload(payload), stamp)
}

/** The same of a value that is decoded already, as the Node API brings it. */
export function samplesOf(name: string | undefined, content: unknown, stamp: Stamp): Sample[] {
  const items = Array.isArray(content) ? content : [content]
  if (items.length > MAX_PAYLOAD_READINGS) throw new PayloadError(`${items.length} readings at once`)
  return items.map((item) => sampleOf(name, item, stamp))
}

function decodePayload(payload: Uint8Array): unknown {
  if (payload.length === 0) throw new PayloadError('the payload is empty')
  const json = jsonOf(payload)
  if (json !== undefined) return json
  try {
    return decodeCbor(payload)
  } catch {
    throw new PayloadError('the payload is no number, no JSON and no CBOR')
  }
}

function jsonOf(payload: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(payload).trim()
    // Numbers as people print them, beyond JSON's grammar: "+3", ".5", "5.", "007".
    return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : JSON.parse(text)
  } catch {
    return undefined
  }
}

function sampleOf(topicName: string | undefined, item: unknown, stamp: Stamp): Sample {
  const fields = item instanceof Map ? Object.fromEntries(item) : item
  const isReading = typeof fields === 'object' && fields !== null && !Array.isArray(fields) && Object.hasOwn(fields, 'value')
  const { value, unit, at, name } = (isReading ? fields : { value: item }) as Record<string, unknown>
  const sample: Sample = {
    name: nameOf(topicName, name),
    value: valueIn(value),
    unit: unitOf(unit),
    at: at === undefined || at === null ? stamp.at : timeOf(at),
    quality: stamp.quality,
  }
  if (!isSendable(sample)) throw new PayloadError('a value is too large')
  return sample
}

/** The topic's name, the reading's own, or its own below the topic's. */
function nameOf(topicName: string | undefined, own: unknown): string {
  if (own !== undefined && typeof own !== 'string') throw new PayloadError('the name of a reading is a text')
  const name = topicName === undefined ? own : own === undefined || own === topicName ? topicName : `${topicName}/${own}`
  if (name === undefined || !isReadingName(name))
    throw new PayloadError('the name of a reading is letters, digits, and _ . : - /')
  if (name.startsWith(SYSTEM_PREFIX)) throw new PayloadError(`names under ${SYSTEM_PREFIX} are the agent's own`)
  return name
}

function valueIn(value: unknown): Sample['value'] {
  try {
    return toReadingValue(value)
  } catch (error) {
    if (error instanceof BatchError) throw new PayloadError(error.message)
    throw error
  }
}

function unitOf(unit: unknown): string | null {
  if (unit === undefined || unit === null) return null
  if (typeof unit !== 'string' || unit.length > MAX_UNIT_LENGTH) throw new PayloadError('a unit is a short text')
  return unit
}

function timeOf(at: unknown): number {
  const ms =
    typeof at === 'number' ? Math.round(at) : at instanceof Date ? at.getTime() : typeof at === 'string' ? Date.parse(at) : NaN
  if (!Number.isSafeInteger(ms) || ms < 0) throw new PayloadError('a time is ms since 1970 or an ISO 8601 text')
  return ms
}
