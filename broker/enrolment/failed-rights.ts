import type { Clock } from '#shared/time/instant.ts'
import { RecentFailures } from '#shared/time/recent-failures.ts'

const pairLimit = 10_000

/**
 * Failed rights by address *and* id. A fleet behind one NAT shares an address, so the address alone must not count (P-11); an
 * id alone must not either, or whoever saw one could shut its device out from anywhere.
 */
export class FailedRights {
  readonly #clock: Clock
  readonly #failures = new RecentFailures(pairLimit)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** True where this pair has failed so often lately that it is not even tried. */
  isBlocked(address: string, rightId: string): boolean {
    return this.#failures.isBlocked(`${address} ${rightId}`, this.#clock.now())
  }

  failed(address: string, rightId: string): void {
    this.#failures.failed(`${address} ${rightId}`, this.#clock.now())
  }
}
