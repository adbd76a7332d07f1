import { DropReason } from '#shared/drop-reason.ts'
import type { Opened } from '#shared/ikev2/sk-envelope.ts'
import { after, type Instant, seconds } from '#shared/time/instant.ts'
import type { IkeHeader } from '#shared/wire/ike-header.ts'
import { HeaderFlag } from '#shared/wire/ike-numbers.ts'
import type { SkfPayload } from '#shared/wire/ike-payload/payload.ts'

/** How long the first fragment of a message waits for the last. */
export const REASSEMBLY_TIME = seconds(5)

/** Bytes of one message in pieces. */
export const MAX_REASSEMBLED = 65536

/**
 * Puts fragmented messages together again (RFC 7383 §2.6). It is given fragments that have been opened, so that nobody but the peer can
 * make it keep anything; that a message has at most 16 the decoder sees to. One request and one answer at a time: the window of an IKE
 * SA is 1, and a later message takes the place of one that was never completed.
 */
export class FragmentBuffer {
  readonly #partial = new Map<'request' | 'answer', Reassembly>()

  /**
   * Whether this fragment is still missing: asked before it is opened, so that a repeated one costs nothing. Nobody knows yet whether
   * it is the peer's, so nothing changes here.
   */
  wants(header: IkeHeader, fragment: SkfPayload, now: Instant): boolean {
    const partial = this.#current(header, now)
    if (partial === undefined || fragment.total > partial.total) return true
    return fragment.total === partial.total && !partial.has(fragment.number)
  }

  /**
   * `opened`: what the fragment held; it is kept. The whole message where this was the last piece, undefined where others are missing,
   * `Replayed` where it is not wanted, `Malformed` where the message grows too long.
   */
  add(header: IkeHeader, fragment: SkfPayload, opened: Opened, now: Instant): Opened | undefined | DropReason {
    if (!this.wants(header, fragment, now)) return DropReason.Replayed
    let partial = this.#current(header, now)
    // A larger total is the same message cut anew for a narrower path (RFC 7383 §2.5.2): what was kept no longer fits.
    if (partial === undefined || fragment.total > partial.total) {
      partial = new Reassembly(header.messageId, fragment.total, after(now, REASSEMBLY_TIME))
      this.#partial.get(kindOf(header))?.wipe()
      this.#partial.set(kindOf(header), partial)
    }
    partial.put(fragment.number, opened)
    const tooLong = partial.length > MAX_REASSEMBLED
    if (!tooLong && partial.missing > 0) return undefined
    const whole = partial.whole()
    partial.wipe()
    this.#partial.delete(kindOf(header))
    return tooLong ? DropReason.Malformed : whole
  }

  /** Forgets what has waited too long. */
  expire(now: Instant): void {
    for (const [kind, partial] of this.#partial) {
      if (now < partial.expires) continue
      partial.wipe()
      this.#partial.delete(kind)
    }
  }

  /** When there will be something to forget. */
  deadline(): Instant | undefined {
    let soonest: Instant | undefined
    for (const { expires } of this.#partial.values()) if (soonest === undefined || expires < soonest) soonest = expires
    return soonest
  }

  wipe(): void {
    for (const partial of this.#partial.values()) partial.wipe()
    this.#partial.clear()
  }

  /** What is being put together of the message that `header` is of. */
  #current(header: IkeHeader, now: Instant): Reassembly | undefined {
    const partial = this.#partial.get(kindOf(header))
    return partial !== undefined && partial.messageId === header.messageId && now < partial.expires ? partial : undefined
  }
}

const kindOf = (header: IkeHeader): 'request' | 'answer' => (header.flags & HeaderFlag.Response ? 'answer' : 'request')

class Reassembly {
  readonly messageId: number
  readonly total: number
  readonly expires: Instant
  /** Bytes so far. */
  length = 0
  missing: number
  #first = 0
  readonly #pieces = new Map<number, Uint8Array>()

  constructor(messageId: number, total: number, expires: Instant) {
    this.messageId = messageId
    this.total = total
    this.missing = total
    this.expires = expires
  }

  has(number: number): boolean {
    return this.#pieces.has(number)
  }

  put(number: number, { first, bytes }: Opened): void {
    this.#pieces.set(number, bytes)
    this.length += bytes.length
    this.missing--
    if (number === 1) this.#first = first
  }

  whole(): Opened {
    const bytes = new Uint8Array(this.length)
    for (let number = 1, at = 0; number <= this.total; number++) {
      const piece = this.#pieces.get(number)
      if (piece === undefined) continue
      bytes.set(piece, at)
      at += piece.length
    }
    return { first: this.#first, bytes }
  }

  wipe(): void {
    for (const piece of this.#pieces.values()) piece.fill(0)
    this.#pieces.clear()
  }
}
