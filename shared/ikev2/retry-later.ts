import { after, elapsed, type Instant, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import type { IkeState } from './ike-state.ts'

/** First wait after TEMPORARY_FAILURE, and the longest. By chance up to twice as long, so that two ends do not collide again. */
const RETRY_FIRST = seconds(0.5)
const RETRY_MOST = seconds(20)
/** A peer that has said TEMPORARY_FAILURE for so long has lost the thread: the association is closed (RFC 7296 §2.25). */
const OUT_OF_STEP = minutes(5)
/** What the peer puts off after so long a pause is another matter. */
const ANOTHER_TIME = minutes(2)

/** What a peer told to try later. One for each thing that can be tried; a success makes it fresh again. */
export class RetryLater {
  readonly #state: IkeState
  #attempts = 0
  #since: Instant | undefined
  #lastAt: Instant | undefined

  constructor(state: IkeState) {
    this.#state = state
  }

  /** Sets a timer of that name. False: it has gone on for too long. */
  schedule(name: string, now: Instant, run: (now: Instant) => void): boolean {
    if (this.#lastAt !== undefined && elapsed(this.#lastAt, now) > ANOTHER_TIME) this.succeeded()
    this.#since ??= now
    this.#lastAt = now
    if (elapsed(this.#since, now) >= OUT_OF_STEP) return false
    const planned = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** this.#attempts)
    this.#attempts++
    this.#state.timers.set(name, after(now, milliseconds(planned * (1 + this.#state.context.dice()))), run)
    return true
  }

  succeeded(): void {
    this.#attempts = 0
    this.#since = undefined
  }
}
