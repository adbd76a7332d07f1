import { elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Endpoint } from './association.ts'

/** Initiations a second above which senders must first show a cookie: below half of what one core answers. */
const LOAD_PER_SECOND = 1_500
/** Once under load, so for this long. */
const CALM_DOWN = seconds(1)

/** Counts initiations in the present and the past second; the default policy of `underLoad`. */
export class LoadMeter {
  readonly #perSecond: number
  #windowFrom: Instant | undefined
  #count = 0
  #before = 0
  #loadedUntil: number = Number.NEGATIVE_INFINITY

  constructor(perSecond: number = LOAD_PER_SECOND) {
    this.#perSecond = perSecond
  }

  /** An initiation with a valid mac1 came. */
  note(now: Instant): void {
    this.#turn(now)
    this.#count++
    if (this.#rate(now) > this.#perSecond) this.#loadedUntil = now + CALM_DOWN
  }

  isLoaded(now: Instant): boolean {
    return now < this.#loadedUntil
  }

  #turn(now: Instant): void {
    this.#windowFrom ??= now
    const age = elapsed(this.#windowFrom, now)
    if (age < 1_000) return
    this.#before = age < 2_000 ? this.#count : 0
    this.#count = 0
    this.#windowFrom = now
  }

  /** The past second counts by the part of it that a sliding second still covers. */
  #rate(now: Instant): number {
    return this.#count + this.#before * (1 - elapsed(this.#windowFrom!, now) / 1_000)
  }
}

/** Initiations that one address and port gets answered while under load, after it has shown its cookie: a second, and at once. */
const SOURCE_RATE = 20
const SOURCE_BURST = 5
/** Sources remembered; the longest known leaves first. Forgetting one costs nothing but a fresh burst. */
const MAX_SOURCES = 4_096

/**
 * A bucket for each address and port, never for an address alone: a fleet behind one NAT is not one client (A-03, P-11). Only sources
 * that proved by a cookie to receive there have one, so memory is bounded and spoofed senders cannot fill it.
 */
export class SourceLimiter {
  readonly #buckets = new Map<string, TokenBucket>()

  admits(from: Endpoint, now: Instant): boolean {
    const key = `${from.address}|${from.port}`
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      bucket = new TokenBucket(SOURCE_RATE, SOURCE_BURST)
      this.#buckets.set(key, bucket)
      if (this.#buckets.size > MAX_SOURCES) this.#buckets.delete(this.#buckets.keys().next().value!)
    }
    return bucket.take(now)
  }
}
