import type { Instant } from '#shared/time/instant.ts'
import type { Session } from './session.ts'
import { OUTSTANDING } from './wireguard-constants.ts'

/**
 * The sessions of one association, oldest first: usually one, or two for a while after a rekey; more only where several initiations
 * were answered before any answer arrived (loss, a long round trip).
 *
 *   initiator: response came   -> adopt: current at once; the older ones still receive
 *   responder: response sent   -> offer: unconfirmed; receives, does not send
 *   authentic data on one      -> heard: confirms it, and whatever is older than its predecessor goes
 *
 * Where both ends initiated at once, both must settle on one session, or neither would be its initiator and renew it: the session
 * that the greater static key initiated stays. A peer that settles otherwise loses nothing, since both go on receiving.
 */
export class SessionSlots<S extends Session> {
  readonly #discard: (session: S) => void
  /** Whether our static key is greater than the peer's. */
  readonly #prevails: boolean
  #sessions: S[] = []
  #current: S | undefined

  constructor(prevails: boolean, discard: (session: S) => void) {
    this.#prevails = prevails
    this.#discard = discard
  }

  /** The one to send with. */
  get current(): S | undefined {
    return this.#current
  }

  get count(): number {
    return this.#sessions.length
  }

  /** The newest session that the peer has not confirmed. */
  get unconfirmed(): S | undefined {
    return this.#sessions.findLast((session) => !session.confirmed)
  }

  adopt(session: S): void {
    this.#push(session)
    this.#current = session
  }

  offer(session: S): void {
    this.#push(session)
  }

  /** Authentic data came on `session`. Returns true where it became the current one by that. */
  heard(session: S): boolean {
    let promoted = false
    if (!session.confirmed) {
      session.confirmed = true
      promoted = this.#takesOver(session)
      if (promoted) this.#current = session
    }
    if (session === this.#current && this.#sessions[0] !== session) this.#trim(session)
    return promoted
  }

  /** Discards what is too old to be used. Returns true where that took the current session. */
  expire(now: Instant): boolean {
    for (const session of this.#sessions) if (session.isExpired(now)) this.#discard(session)
    this.#sessions = this.#sessions.filter((session) => !session.isExpired(now))
    if (this.#current === undefined || !this.#current.isExpired(now)) return false
    this.#current = this.#sessions.findLast((session) => session.confirmed)
    return this.#current === undefined
  }

  /** When the oldest one expires. */
  get nextExpiry(): Instant | undefined {
    return this.#sessions[0]?.expiresAt
  }

  clear(): void {
    for (const session of this.#sessions) this.#discard(session)
    this.#sessions = []
    this.#current = undefined
  }

  /** Whether a session of the peer's making, just confirmed, should replace the current one. */
  #takesOver(session: S): boolean {
    const current = this.#current
    if (current === undefined) return true
    const isNewer = this.#sessions.indexOf(session) > this.#sessions.indexOf(current)
    if (!current.initiator || isNewer) return isNewer
    // Ours was completed later. Had ours been on its way when the peer's came, the two crossed and the greater key decides.
    const crossed = current.begunAt <= session.createdAt
    return crossed && !this.#prevails
  }

  /** Keeps one predecessor, whose last packets may still be on their way. */
  #trim(session: S): void {
    const at = this.#sessions.indexOf(session)
    for (const old of this.#sessions.slice(0, Math.max(0, at - 1))) this.#discard(old)
    this.#sessions = this.#sessions.slice(Math.max(0, at - 1))
  }

  #push(session: S): void {
    this.#sessions.push(session)
    while (this.#sessions.length > 2 * OUTSTANDING) this.#dropOne((candidate) => candidate !== this.#current)
    while (this.#sessions.filter((candidate) => !candidate.confirmed).length > OUTSTANDING)
      this.#dropOne((candidate) => !candidate.confirmed)
  }

  #dropOne(which: (session: S) => boolean): void {
    const at = this.#sessions.findIndex(which)
    const [session] = this.#sessions.splice(at, 1)
    if (session !== undefined) this.#discard(session)
  }
}
