import type { Suite } from '#shared/crypto/suite.ts'
import { after, type Instant, instant, milliseconds, seconds } from '#shared/time/instant.ts'

/** Nothing authentic sent for so long: an authenticated keepalive goes out, the broker's evidence that we live. */
const PRESENCE_AFTER = seconds(60)
/**
 * A session of this age (and up to `REKEY_SPREAD` more) is re-made, whoever began it and whether or not anything is said: REKEY-AFTER-TIME
 * of the white paper (§6.1) acts on sending alone, and a session that both sides let grow old would lapse at 180 s.
 */
const REKEY_AFTER = seconds(120)
const REKEY_SPREAD = seconds(10)
/** RFC 3948 §2.3. */
const KEEPALIVE = Uint8Array.of(0xff)

export type UpkeepDue = 'hold-mapping' | 'show-presence' | 're-key'

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
  #rekeyAt: Instant | undefined
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

  /** A session was agreed. */
  agreed(now: Instant): void {
    this.#rekeyAt = after(now, milliseconds(REKEY_AFTER + (REKEY_SPREAD * this.#suite.random(1)[0]!) / 255))
  }

  due(now: Instant): UpkeepDue[] {
    const due: UpkeepDue[] = []
    if (this.#rekeyAt !== undefined && now >= this.#rekeyAt) {
      // Asked for once; the association goes on by itself until it is answered.
      this.#rekeyAt = undefined
      due.push('re-key')
    }
    if (this.#presenceAt !== undefined && now >= this.#presenceAt) due.push('show-presence')
    else if (this.#holdAt !== undefined && now >= this.#holdAt) {
      // 80 to 100 %: never later than the interval, which the mapping's lifetime allows, and never in step with the fleet.
      this.#jitter = 0.8 + this.#suite.random(1)[0]! / 1275
      due.push('hold-mapping')
    }
    return due
  }

  deadline(): Instant | undefined {
    const first = Math.min(this.#holdAt ?? Infinity, this.#presenceAt ?? Infinity, this.#rekeyAt ?? Infinity)
    return first === Infinity ? undefined : instant(first)
  }
}
