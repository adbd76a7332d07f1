import { elapsed, type Instant, minutes } from './instant.ts'

const allowed = 10
const memory = minutes(10)

/** Who has failed how often in the last ten minutes: whoever did ten times is not to be heard, right or wrong. */
export class RecentFailures {
  readonly #limit: number
  readonly #failures = new Map<string, { count: number; last: Instant }>()

  /** `limit`: keys remembered; the oldest is forgotten first, so that a flood of made-up ones costs no more memory than this. */
  constructor(limit: number) {
    this.#limit = limit
  }

  isBlocked(key: string, now: Instant): boolean {
    return this.#lately(key, now) >= allowed
  }

  failed(key: string, now: Instant): void {
    const count = this.#lately(key, now) + 1
    this.#failures.delete(key)
    this.#failures.set(key, { count, last: now })
    if (this.#failures.size > this.#limit) this.#failures.delete(this.#failures.keys().next().value!)
  }

  #lately(key: string, now: Instant): number {
    const entry = this.#failures.get(key)
    return entry !== undefined && elapsed(entry.last, now) < memory ? entry.count : 0
  }
}
