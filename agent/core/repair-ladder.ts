import type { Suite } from '#shared/crypto/suite.ts'
import { type Dice, uniform } from '#shared/time/backoff.ts'
import { after, type Duration, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import type { PathState } from './path-health.ts'

/**
 * What is done about a path in trouble, each only when the one before did not help:
 * a new socket on another port, a handshake with another broker address or family or over a WebSocket, which is the search's to choose.
 * (A lower MTU comes first, by `PathMtu`, where small packets pass.)
 */
export type Repair = 'rebind' | 'search'

/** How long a repair has to help; at least three round trips, and a tenth of jitter. */
const HELP_WITHIN: Duration = milliseconds(800)
/** How long a path stays judged while its MTU is searched. */
const SEARCH_MTU_WITHIN: Duration = seconds(5)
const STEPS: readonly Repair[] = ['rebind', 'search']

/** One ladder, climbed while the trouble lasts; from its top on the search goes on by itself, and never gives up. */
export class RepairLadder {
  readonly #dice: Dice
  #step = 0
  #nextAt: Instant | undefined

  constructor(suite: Pick<Suite, 'random'>) {
    this.#dice = uniform((length) => suite.random(length))
  }

  /** The path is all right, or another one is in use. */
  reset(): void {
    this.#step = 0
    this.#nextAt = undefined
  }

  /** The path is (still) in trouble: what is to be done now, if anything. */
  trouble(state: PathState, roundTrip: Duration, now: Instant): Repair | undefined {
    if (this.#nextAt === undefined && state === 'small-packets-only') this.#nextAt = after(now, SEARCH_MTU_WITHIN)
    if (this.#nextAt !== undefined && now < this.#nextAt) return undefined
    const repair = STEPS[Math.min(this.#step, STEPS.length - 1)]!
    this.#step++
    const span = Math.max(HELP_WITHIN, 3 * roundTrip) * (1 + this.#dice() / 10)
    this.#nextAt = after(now, milliseconds(repair === 'search' ? Math.max(span, SEARCH_MTU_WITHIN) : span))
    return repair
  }
}
