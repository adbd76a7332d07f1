import { fromBase64, toBase64 } from '#shared/bytes/base64.ts'

/**
 * The device's half of the ratchet by which copies of it are noticed: a secret that both ends hold, and that is replaced at each boot and
 * each renewal. Two that hold the same one replace it by different ones, and the second of them is met with a secret that is spent.
 *
 *   settled --announce--> announced (on disk before it is told) --advance--> settled
 *
 * A power cut anywhere leaves either state, and an announced one is told again with the *same* next secret: whether the broker had
 * taken it or not, it takes it now. Never are two different ones announced after the same secret.
 */
export interface RatchetState {
  /** How often it was replaced. */
  readonly step: number
  /** RATCHET_LENGTH bytes: what the broker holds, or held before `next`. */
  readonly present: Uint8Array
  /** What it is to be replaced by, once that was chosen. */
  readonly next?: Uint8Array
}

export type AnnouncedRatchet = Required<RatchetState>

/** Bytes of a secret. */
export const RATCHET_LENGTH = 32

type Random = (length: number) => Uint8Array

/** Of a device that has none yet, or has lost it. */
export const freshRatchet = (random: Random): RatchetState => ({ step: 0, present: random(RATCHET_LENGTH) })

/** What is to be on disk before the broker is told; one that was announced before stays. */
export const announce = (state: RatchetState, random: Random): AnnouncedRatchet => ({
  ...state,
  next: state.next ?? random(RATCHET_LENGTH),
})

/** The broker has taken `next`. */
export const advance = ({ step, next }: AnnouncedRatchet): RatchetState => ({ step: step + 1, present: next })

/** As it lies in a file: one line of JSON. */
export const ratchetToText = ({ step, present, next }: RatchetState): string =>
  `${JSON.stringify({ step, present: toBase64(present), ...(next && { next: toBase64(next) }) })}\n`

/** Throws TypeError or SyntaxError where the text is none. */
export function ratchetFromText(text: string): RatchetState {
  const { step, present, next } = JSON.parse(text)
  if (!Number.isSafeInteger(step) || step < 0) throw new TypeError('not a step of a ratchet')
  return { step, present: secret(present), ...(next !== undefined && { next: secret(next) }) }
}

function secret(text: unknown): Uint8Array {
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined
  if (bytes?.length !== RATCHET_LENGTH) throw new TypeError('not a secret of a ratchet')
  return bytes
}
