import type { Dice } from '#shared/time/backoff.ts'
import { after, type Duration, elapsed, type Instant, milliseconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { IkeSettings } from './ike-context.ts'
import { retransmitAfter } from './retransmission.ts'

/**
 * A request that was repeated measures no round trip: its answer may be to any of them. Yet on a path slower than the first wait every
 * request would be repeated, and none ever measured. So each that was makes us more patient, by these bounds, till one does.
 */
const FIRST_GUESS = milliseconds(250)
const LAST_GUESS = milliseconds(1_250)

/** A request that waits for its answer. */
export interface Outstanding {
  readonly messageId: number
  readonly exchange: number
  /** As they went out, fragments each; repeated to the byte. */
  readonly datagrams: readonly Uint8Array[]
  /** Where it goes, if not along the present path. */
  readonly to: Endpoint | undefined
  readonly firstSentAt: Instant
  attempts: number
  nextAt: Instant
}

/**
 * Our requests in one IKE SA: a window of one (RFC 7296 §2.3). A message ID is never used for two requests, and never skipped.
 *
 *   send -> outstanding -> (repeat after repeat) -> taken by the answer -> free
 */
export class RequestWindow {
  readonly #settings: IkeSettings
  readonly #dice: Dice
  #nextId = 0
  #outstanding: Outstanding | undefined
  #roundTrip: Duration | undefined
  #isMeasured = false

  constructor(settings: IkeSettings, dice: Dice, roundTrip?: Duration) {
    this.#settings = settings
    this.#dice = dice
    this.#roundTrip = roundTrip
  }

  get nextId(): number {
    return this.#nextId
  }

  get outstanding(): Outstanding | undefined {
    return this.#outstanding
  }

  /** Of the last request that was answered at its first sending; before any was, a guess. */
  get roundTrip(): Duration | undefined {
    return this.#roundTrip
  }

  /** The datagrams, which are kept, now go out for the first time under `nextId`. */
  sent(exchange: number, datagrams: readonly Uint8Array[], now: Instant, to?: Endpoint): void {
    if (this.#outstanding !== undefined) throw new Error('the window of requests is full')
    const nextAt = after(now, retransmitAfter(1, this.#settings, this.#roundTrip, this.#dice))
    this.#outstanding = { messageId: this.#nextId, exchange, datagrams, to, firstSentAt: now, attempts: 1, nextAt }
    this.#nextId++
  }

  /** Whether a response with these numbers is the one awaited. */
  awaits(messageId: number, exchange: number): boolean {
    return this.#outstanding?.messageId === messageId && this.#outstanding.exchange === exchange
  }

  /** The answer has come and is authentic. */
  answered(now: Instant): void {
    const request = this.#outstanding
    if (request === undefined) return
    this.#outstanding = undefined
    const waited = elapsed(request.firstSentAt, now)
    if (request.attempts === 1) {
      this.#roundTrip = waited
      this.#isMeasured = true
    } else if (!this.#isMeasured) {
      const guess = this.#roundTrip === undefined ? FIRST_GUESS : 2 * this.#roundTrip
      this.#roundTrip = milliseconds(Math.min(waited, guess, LAST_GUESS))
    }
  }

  /** Nobody will answer any more. */
  giveUp(): void {
    this.#outstanding = undefined
  }

  /**
   * IKE_SA_INIT alone: it is asked for again with a cookie or another group, under the same message ID, as if nothing had been sent
   * (RFC 7296 §2.6).
   */
  beginAgain(): void {
    this.#outstanding = undefined
    this.#nextId = 0
  }

  /** Whether it is time to send the request once more; if so, the next time is set. */
  repeat(now: Instant): Outstanding | undefined {
    const request = this.#outstanding
    if (request === undefined || now < request.nextAt) return undefined
    return this.#again(request, now)
  }

  /** The path lives again: an overdue request need not wait for its long interval. */
  hasten(now: Instant): Outstanding | undefined {
    const request = this.#outstanding
    if (request === undefined || request.attempts < 3) return undefined
    const ordinary = retransmitAfter(1, this.#settings, this.#roundTrip, this.#dice)
    if (elapsed(now, request.nextAt) < ordinary) return undefined
    request.attempts = 1
    return this.#again(request, now)
  }

  /** Our own address has changed: whatever waits for an answer goes out once more, from there. */
  moved(now: Instant): Outstanding | undefined {
    const request = this.#outstanding
    if (request === undefined) return undefined
    request.attempts = 1
    return this.#again(request, now)
  }

  #again(request: Outstanding, now: Instant): Outstanding {
    request.attempts++
    request.nextAt = after(now, retransmitAfter(request.attempts, this.#settings, this.#roundTrip, this.#dice))
    return request
  }
}
