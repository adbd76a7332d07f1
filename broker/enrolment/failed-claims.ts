import { type Clock, elapsed, type Instant, minutes } from '#shared/time/instant.ts'

const failuresAllowed = 10
const memory = minutes(10)
/** Pairs remembered; the oldest is forgotten first, so that a flood of made-up ids costs no more memory than this. */
const pairLimit = 10_000

/**
 * Failed claims by address *and* claim id. A fleet behind one NAT shares an address, so the address alone must not count (P-11); an
 * id alone must not either, or whoever saw one could shut its device out from anywhere.
 */
export class FailedClaims {
  readonly #clock: Clock
  readonly #failures = new Map<string, { count: number; last: Instant }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** True where this pair has failed so often lately that it is not even tried. */
  isBlocked(address: string, claimId: string): boolean {
    const entry = this.#failures.get(`${address} ${claimId}`)
    if (entry === undefined) return false
    return entry.count >= failuresAllowed && elapsed(entry.last, this.#clock.now()) < memory
  }

  failed(address: string, claimId: string): void {
    const key = `${address} ${claimId}`
    const now = this.#clock.now()
    const before = this.#failures.get(key)
    const count = before !== undefined && elapsed(before.last, now) < memory ? before.count + 1 : 1
    this.#failures.delete(key)
    this.#failures.set(key, { count, last: now })
    if (this.#failures.size > pairLimit) this.#failures.delete(this.#failures.keys().next().value ?? '')
  }
}
