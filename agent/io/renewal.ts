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
  #timer: Timer | undefined
  #busy = false
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
    return notBefore + (notAfter - notBefore) * this.#part
  }

  start(): void {
    void this.#look()
  }

  /** The broker is in reach: whatever failed may work now. */
  hint(): void {
    void this.#look()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.clear()
  }

  async #look(): Promise<void> {
    if (this.#busy || this.#stopped) return
    this.#busy = true
    this.#timer?.clear()
    const left = this.dueAt - this.#options.identity.floors.time.now()
    const wait = left > 0 ? milliseconds(Math.min(left, LOOK_EVERY)) : await this.#renew()
    this.#busy = false
    if (!this.#stopped) this.#timer = this.#options.timers.setTimer(wait, () => void this.#look())
  }

  /** Returns how long to wait before the next look. */
  async #renew(): Promise<Duration> {
    const { identity, log, suite } = this.#options
    try {
      await identity.renew()
      this.#backoff.reset()
      this.#part = EARLIEST + SPREAD * uniform((length) => suite.random(length))()
      log.info({ notAfter: new Date(identity.leaf.notAfter).toISOString() }, 'certificate renewed')
      this.#options.onRenewed(identity.leaf.notAfter)
      return LOOK_EVERY
    } catch (error) {
      const { code, message } = toAditError(error)
      const wait = this.#backoff.next()
      log.warn({ code, message, againInSeconds: Math.round(wait / 1000) }, 'the certificate could not be renewed')
      return wait
    }
  }
}
