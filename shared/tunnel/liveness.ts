import { after, type Duration, type Instant, milliseconds } from '#shared/time/instant.ts'
import { KEEPALIVE_TIMEOUT, RETRY_JITTER, SILENCE_TIMEOUT } from './wireguard-constants.ts'

/**
 * The passive timers of an association (white paper §6.5): who received data and says nothing owes an empty packet; who sent data and
 * hears nothing asks for a new handshake.
 */
export class Liveness {
  readonly #persistent: Duration | undefined
  /** When an empty packet is owed; when silence means a handshake; when we sent anything last. */
  #keepaliveAt: Instant | undefined
  #silentAt: Instant | undefined
  #sentAt: Instant | undefined

  constructor(persistentKeepalive: Duration | undefined) {
    this.#persistent = persistentKeepalive
  }

  get keepaliveAt(): Instant | undefined {
    return this.#keepaliveAt
  }

  get silentAt(): Instant | undefined {
    return this.#silentAt
  }

  /** When a persistent keepalive is due, counted from `establishedAt` where nothing was sent since. */
  persistentAt(establishedAt: Instant | undefined): Instant | undefined {
    if (this.#persistent === undefined || establishedAt === undefined) return undefined
    return after(this.#sentAt ?? establishedAt, this.#persistent)
  }

  /** A handshake message went out. */
  spoke(now: Instant): void {
    this.#sentAt = now
  }

  /** A data message went out. Returns the timer to arm, if this started one; `chance` in [0, 1) is its jitter. */
  sent(hasPayload: boolean, now: Instant, chance: () => number): Instant | undefined {
    this.#sentAt = now
    this.#keepaliveAt = undefined
    if (!hasPayload || this.#silentAt !== undefined) return undefined
    this.#silentAt = after(now, milliseconds(SILENCE_TIMEOUT + chance() * RETRY_JITTER))
    return this.#silentAt
  }

  /** Anything authentic came. */
  heard(): void {
    this.#silentAt = undefined
  }

  /** Data came, which wants an answer of some kind. Returns the timer to arm, if this started one. */
  owe(now: Instant): Instant | undefined {
    if (this.#keepaliveAt !== undefined) return undefined
    this.#keepaliveAt = after(now, KEEPALIVE_TIMEOUT)
    return this.#keepaliveAt
  }

  /** Takes the timers that are due. */
  takeKeepalive(now: Instant): boolean {
    if (this.#keepaliveAt === undefined || now < this.#keepaliveAt) return false
    this.#keepaliveAt = undefined
    return true
  }

  takeSilence(now: Instant): boolean {
    if (this.#silentAt === undefined || now < this.#silentAt) return false
    this.#silentAt = undefined
    return true
  }

  clear(): void {
    this.#keepaliveAt = undefined
    this.#silentAt = undefined
  }
}
