import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Duration, hours, milliseconds, minutes } from '#shared/time/instant.ts'
import type { Identity } from './identity.ts'

export interface RenewalOptions {
  readonly suite: Suite
  readonly timers: Timers
  readonly log: Log
  readonly identity: Identity
  /** The new certificate is on disk; ms since 1970. */
  onRenewed(notAfter: number): void
}

/** Renewal falls between these parts of a certificate's life, chosen once a certificate: a fleet made in a day renews over days. */
const EARLIEST = 2 / 3
const SPREAD = 1 / 12
/** Clocks jump: the decision is made anew at least so often. */
const LOOK_EVERY = hours(6)

/** Keeps the certificate young, by itself and without touching the tunnel; one that expired on a shelf is renewed all the same. */
export class Renewal {
  readonly #options: RenewalOptions
  readonly #backoff: Backoff
  #part: number
  /** When the broker wants another certificate here, ms since 1970. */
  #hurried: number | undefined
  #timer: Timer | undefined
  #looking: Promise<void> | undefined
  #renewals = 0
  #stopped = false

  constructor(options: RenewalOptions) {
    const random = (length: number): Uint8Array => options.suite.random(length)
    this.#options = options
    this.#backoff = new Backoff({ base: minutes(1), cap: hours(1) }, uniform(random))
    this.#part = EARLIEST + SPREAD * uniform(random)()
  }

  /** When the certificate is due, ms since 1970. */
  get dueAt(): number {
    const { notBefore, notAfter } = this.#options.identity.leaf
    return Math.min(notBefore + (notAfter - notBefore) * this.#part, this.#hurried ?? Number.POSITIVE_INFINITY)
  }

  start(): void {
    void this.#look()
  }

  /** The CA of our certificate issues no more: it is due at a moment within so long, chosen once, unless it is due before. */
  hurry(withinSeconds: number): void {
    const { suite, identity } = this.#options
    const span = withinSeconds * 1_000 * uniform((length) => suite.random(length))()
    this.#hurried ??= identity.floors.time.now() + span
    void this.#look()
  }

  /**
   * The broker lets our certificate do nothing. It may be that it may renew all the same, since its CA was retired while we slept: one try, and
   * whoever is refused in that too waits until it is refused again. True where a new certificate came of it.
   */
  async refused(): Promise<boolean> {
    const before = this.#renewals
    this.#hurried = this.#options.identity.floors.time.now()
    await this.#look()
    return this.#renewals !== before
  }

  /** The broker is in reach, or has said the time: what failed, or was not due, may be now. Resolves when that is done. */
  hint(): Promise<void> {
    return this.#look()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.clear()
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #lookOnce(): Promise<void> {
    if (this.#stopped) return
    this.#timer?.clear()
    const wait = this.#left > 0 ? this.#untilDue : await this.#renew()
    if (!this.#stopped) this.#timer = this.#options.timers.setTimer(wait, () => void this.#look())
  }

  /** Until it is due, ms. */
  get #left(): number {
    return this.dueAt - this.#options.identity.floors.time.now()
  }

  get #untilDue(): Duration {
    return milliseconds(Math.min(this.#left, LOOK_EVERY))
  }

  /** Returns how long to wait before the next look. */
  async #renew(): Promise<Duration> {
    const { identity, log, suite } = this.#options
    try {
      await identity.renew()
      this.#renewals += 1
      this.#backoff.reset()
      this.#hurried = undefined
      this.#part = EARLIEST + SPREAD * uniform((length) => suite.random(length))()
      log.info({ notAfter: new Date(identity.leaf.notAfter).toISOString() }, 'certificate renewed')
      this.#options.onRenewed(identity.leaf.notAfter)
      return LOOK_EVERY
    } catch (error) {
      const { code, message } = toAditError(error)
      if (code === 'certificate-refused') this.#hurried = undefined
      const wait = this.#left > 0 ? this.#untilDue : this.#backoff.next()
      log.warn({ code, message, againInSeconds: Math.round(wait / 1000) }, 'the certificate could not be renewed')
      return wait
    }
  }
}
