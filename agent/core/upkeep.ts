import type { Suite } from '#shared/crypto/suite.ts'
import { after, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'

/** Nothing authentic sent for so long: an authenticated keepalive goes out, the broker's evidence that we live. */
const PRESENCE_AFTER = seconds(60)
/** A session of this age is due to be re-made (white paper §6.1, REKEY-AFTER-TIME), also by the side that did not begin it. */
const OLD_SESSION = seconds(120)
/** RFC 3948 §2.3. */
const KEEPALIVE = Uint8Array.of(0xff)

export type UpkeepDue = 'hold-mapping' | 'show-presence'

/**
 * When an agent that has nothing to say speaks nevertheless: one byte FF that holds the NAT mapping, after each `interval` in which
 * nothing was sent, and an authenticated packet after each minute in which nothing authentic was.
 */
export class Upkeep {
  readonly keepalive = KEEPALIVE
  readonly #suite: Suite
  #interval = seconds(25)
  #holdAt: Instant | undefined
  #presenceAt: Instant | undefined
  #jitter = 1

  constructor(suite: Suite) {
    this.#suite = suite
  }

  setInterval(keepaliveSeconds: number): void {
    this.#interval = seconds(keepaliveSeconds)
  }

  start(now: Instant): void {
    this.sent(now)
    this.sealed(now)
  }

  /** Any datagram went out: it has held the mapping. */
  sent(now: Instant): void {
    this.#holdAt = after(now, milliseconds(this.#interval * this.#jitter))
  }

  /** An authentic one did. */
  sealed(now: Instant): void {
    this.#presenceAt = after(now, PRESENCE_AFTER)
  }

  due(now: Instant): UpkeepDue[] {
    const due: UpkeepDue[] = []
    if (this.#presenceAt !== undefined && now >= this.#presenceAt) due.push('show-presence')
    else if (this.#holdAt !== undefined && now >= this.#holdAt) {
      // 80 to 100 %: never later than the interval, which the mapping's lifetime allows, and never in step with the fleet.
      this.#jitter = 0.8 + this.#suite.random(1)[0]! / 1275
      due.push('hold-mapping')
    }
    return due
  }

  deadline(): Instant | undefined {
    if (this.#holdAt === undefined || this.#presenceAt === undefined) return this.#holdAt ?? this.#presenceAt
    return this.#holdAt < this.#presenceAt ? this.#holdAt : this.#presenceAt
  }

  isOld(establishedAt: Instant | undefined, now: Instant): boolean {
    return establishedAt === undefined || elapsed(establishedAt, now) >= OLD_SESSION
  }
}
