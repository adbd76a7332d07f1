import { type Candidate, candidatesValue, readCandidates } from '#shared/nat/candidate.ts'
import { CborError, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'

/**
 * What two ends say to each other inside their association, beside the packets of their users: UDP between port 4501 and port 4501,
 * one CBOR array each.
 *
 *   [1, id, padding?]        probe: answered by the way that it came
 *   [2, id, padding?]        its answer, as long as the probe; padding: a byte string of zeros
 *   [3, candidates, delay]   let both punch, the reader `delay` ms after it has read this
 *   [4, candidates]          the reader's own places in return
 */
export type DirectMessage =
  | { kind: 'probe'; id: number }
  | { kind: 'echo'; id: number }
  | { kind: 'punch'; candidates: readonly Candidate[]; delayMs: number }
  | { kind: 'places'; candidates: readonly Candidate[] }

/** The longest: a probe that fills a packet of inner IPv4. Bytes. */
const MESSAGE_LIMIT = 1_252
/** Shorter messages are not padded. Bytes. */
const LEAST_PADDED = 300
/** The longest time that a punch is put off, ms. */
const DELAY_LIMIT = 5_000

/** `length`: of a probe or its answer, bytes, where it shall be padded to that. */
export function encodeDirectMessage(message: DirectMessage, length = 0): Uint8Array {
  const form = wireForm(message)
  if (length < LEAST_PADDED || (message.kind !== 'probe' && message.kind !== 'echo')) return encodeCanonicalCbor(form)
  const least = encodeCanonicalCbor([...form, new Uint8Array(LEAST_PADDED)]).length
  return encodeCanonicalCbor([...form, new Uint8Array(LEAST_PADDED + Math.min(length, MESSAGE_LIMIT) - least)])
}

/** Undefined where it is none of ours. Never throws. */
export function readDirectMessage(payload: Uint8Array): DirectMessage | undefined {
  const value = arrayIn(payload)
  if (value === undefined) return undefined
  const [kind, first, second] = value
  if (kind === 1 || kind === 2)
    return isWhole(first, 0x7fff_ffff) ? { kind: kind === 1 ? 'probe' : 'echo', id: first } : undefined
  if (kind === 3)
    return isWhole(second, DELAY_LIMIT) ? { kind: 'punch', candidates: readCandidates(first), delayMs: second } : undefined
  return kind === 4 ? { kind: 'places', candidates: readCandidates(first) } : undefined
}

function wireForm(message: DirectMessage): CborValue[] {
  switch (message.kind) {
    case 'probe':
      return [1, message.id]
    case 'echo':
      return [2, message.id]
    case 'punch':
      return [3, candidatesValue(message.candidates), Math.min(DELAY_LIMIT, Math.round(message.delayMs))]
    case 'places':
      return [4, candidatesValue(message.candidates)]
  }
}

function arrayIn(payload: Uint8Array): readonly CborValue[] | undefined {
  try {
    const value = decodeCbor(payload, { bytes: MESSAGE_LIMIT, depth: 4, items: 128 })
    return Array.isArray(value) ? value : undefined
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}

const isWhole = (value: CborValue, most: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most
