import type { Suite } from '#shared/crypto/suite.ts'
import { type Dice, uniform } from '#shared/time/backoff.ts'
import { after, type Duration, type Instant, instant, milliseconds, seconds } from '#shared/time/instant.ts'

/** Nothing authentic sent for so long: an authenticated keepalive goes out, the broker's evidence that we live. */
const PRESENCE_AFTER = seconds(60)
/** Sessions are renewed up to so much later than asked for, so that a fleet that came at once does not stay in step. */
const RENEWAL_SPREAD = seconds(10)

/** When an agent that has nothing to say speaks authentically nevertheless. (What only holds the NAT mapping is `NatKeepalive`.) */
export class Upkeep {
  readonly #dice: Dice
  #presenceAt: Instant | undefined
  #rekeyAt: Instant | undefined
  readonly #renewAfter: Duration | undefined

  /** `renewAfter`: the age at which a session is re-made, whoever began it and whether or not anything is said; undefined: never. */
  constructor(suite: Suite, renewAfter: Duration | undefined) {
    this.#renewAfter = renewAfter
    this.#dice = uniform((length) => suite.random(length))
  }

  /** An authentic packet went out. */
  sealed(now: Instant): void {
    this.#presenceAt = after(now, PRESENCE_AFTER)
  }

  /** A session was agreed. */
  agreed(now: Instant): void {
    if (this.#renewAfter === undefined) return
    this.#rekeyAt = after(now, milliseconds(this.#renewAfter + RENEWAL_SPREAD * this.#dice()))
  }

  takePresence(now: Instant): boolean {
    if (this.#presenceAt === undefined || now < this.#presenceAt) return false
    this.sealed(now)
    return true
  }

  /** Asked for once; the association goes on by itself until it is answered. */
  takeRekey(now: Instant): boolean {
    if (this.#rekeyAt === undefined || now < this.#rekeyAt) return false
    this.#rekeyAt = undefined
    return true
  }

  deadline(): Instant | undefined {
    const first = Math.min(this.#presenceAt ?? Infinity, this.#rekeyAt ?? Infinity)
    return first === Infinity ? undefined : instant(first)
  }
}
