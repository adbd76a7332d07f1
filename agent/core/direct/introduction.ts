import { type Candidate, candidatesValue, readCandidates } from '#shared/nat/candidate.ts'
import { CborError, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'

/**
 * What two ends write to each other before they have a session (in a letter, letter.ts): an operator shows under whose statements it
 * asks, a device says that it believes them or why not, and both name the places where they may be met.
 *
 *   {1: 1, 2: nonce bstr .size 8, 3: counter bstr .size 12, 4: [* statement bstr], 5: candidates}       operator -> device
 *   {1: 2, 2: nonce of the question, 3: counter bstr .size 12, 5: candidates, ? 6: refusal text,
 *    ? 7: true, where the device believes nothing but their association}                                device -> operator
 */
export interface Introduction {
  readonly kind: 'introduction'
  /** 8 bytes, fresh for each; the answer repeats it. */
  readonly nonce: Uint8Array
  /** TAI64N, 12 bytes, above every one before: a reader takes only greater ones. */
  readonly counter: Uint8Array
  /** Signed by the fleet key: of the writer, of the reader, and the grants between them. */
  readonly statements: readonly Uint8Array[]
  readonly candidates: readonly Candidate[]
}

export interface Answer {
  readonly kind: 'answer'
  readonly nonce: Uint8Array
  readonly counter: Uint8Array
  readonly candidates: readonly Candidate[]
  /** Why the introduction was not taken. */
  readonly refusal?: string | undefined
  /** The device takes no packet of the writer's but by the association. */
  readonly strict: boolean
}

const NONCE_LENGTH = 8
const COUNTER_LENGTH = 12
/** The writer's, the reader's and as many grants as a letter holds. */
export const STATEMENTS_LIMIT = 12
/** Longest payload that is read, bytes. */
export const INTRODUCTION_LIMIT = 8_192
const refusalLimit = 300

export function encodeIntroduction({ nonce, counter, statements, candidates }: Introduction): Uint8Array {
  const fields: [CborValue, CborValue][] = [
    [1, 1],
    [2, nonce],
    [3, counter],
    [4, statements],
    [5, candidatesValue(candidates)],
  ]
  return encodeCanonicalCbor(new Map(fields))
}

export function encodeAnswer({ nonce, counter, candidates, refusal, strict }: Answer): Uint8Array {
  const fields: [CborValue, CborValue][] = [
    [1, 2],
    [2, nonce],
    [3, counter],
    [5, candidatesValue(candidates)],
  ]
  if (refusal !== undefined) fields.push([6, refusal.slice(0, refusalLimit)])
  if (strict) fields.push([7, true])
  return encodeCanonicalCbor(new Map(fields))
}

/** Undefined where the bytes are neither. Never throws. Fields that it does not know are passed over. */
export function readIntroduction(payload: Uint8Array): Introduction | Answer | undefined {
  const fields = mapIn(payload)
  const [kind, nonce, counter] = [fields?.get(1), fields?.get(2), fields?.get(3)]
  if (fields === undefined || !isBytes(nonce, NONCE_LENGTH) || !isBytes(counter, COUNTER_LENGTH)) return undefined
  const candidates = readCandidates(fields.get(5))
  if (kind === 2) {
    const refusal = fields.get(6)
    const strict = fields.get(7) === true
    return { kind: 'answer', nonce, counter, candidates, refusal: typeof refusal === 'string' ? refusal : undefined, strict }
  }
  const statements = fields.get(4)
  if (kind !== 1 || !Array.isArray(statements) || statements.length > STATEMENTS_LIMIT) return undefined
  if (!statements.every((one: CborValue) => one instanceof Uint8Array)) return undefined
  return { kind: 'introduction', nonce, counter, statements: statements as Uint8Array[], candidates }
}

function mapIn(payload: Uint8Array): ReadonlyMap<CborValue, CborValue> | undefined {
  try {
    const value = decodeCbor(payload, { bytes: INTRODUCTION_LIMIT, depth: 4, items: 256 })
    return value instanceof Map ? value : undefined
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}

const isBytes = (value: CborValue, length: number): value is Uint8Array => value instanceof Uint8Array && value.length === length
