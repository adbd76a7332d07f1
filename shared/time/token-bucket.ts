import type { Instant } from './instant.ts'

/** `rate` tokens a second flow in, at most `burst` lie there. Starts full. */
export class TokenBucket {
  readonly #rate: number
  readonly #burst: number
  #tokens: number
  #at: Instant | undefined

  constructor(rate: number, burst: number) {
    if (!(rate > 0 && burst > 0)) throw new RangeError('a bucket needs a positive rate and burst')
    this.#rate = rate
    this.#burst = burst
    this.#tokens = burst
  }

  /** Takes `count` tokens if they are there. */
  take(now: Instant, count = 1): boolean {
    this.#fill(now)
    if (this.#tokens < count) return false
    this.#tokens -= count
    return true
  }

  /** Whether the bucket has filled up again: whoever keeps many may forget this one. */
  isFull(now: Instant): boolean {
    this.#fill(now)
    return this.#tokens >= this.#burst
  }

  #fill(now: Instant): void {
    if (this.#at !== undefined && now > this.#at) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#rate) / 1000)
    }
    if (this.#at === undefined || now > this.#at) this.#at = now
  }
}
