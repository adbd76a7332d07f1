import type { Deadline } from '#shared/machine.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, elapsed, type Instant, milliseconds } from '#shared/time/instant.ts'

/** Anything that asks to be woken: tunnel endpoints, netstacks, flow filters, presence. */
export interface Driven {
  deadline(): Deadline | undefined
  /** Runs everything that is due at `now`. */
  expire(now: Instant): void
}

/**
 * Wakes a few machines by one timer. Call `kick` after each input (it is cheap: the timer is touched only when an earlier
 * deadline has appeared); deadlines that moved later cost one early waking, which is harmless.
 */
export class Driver {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #driven = new Set<Driven>()
  #timer: Timer | undefined
  #armed = Number.POSITIVE_INFINITY
  #closed = false

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock
    this.#timers = timers
  }

  add(driven: Driven): void {
    this.#driven.add(driven)
    this.kick()
  }

  remove(driven: Driven): void {
    this.#driven.delete(driven)
  }

  /** Looks at every deadline anew. */
  kick(): void {
    let earliest = Number.POSITIVE_INFINITY
    for (const driven of this.#driven) {
      const at = driven.deadline()?.at
      if (at !== undefined && at < earliest) earliest = at
    }
    this.#arm(earliest)
  }

  /** A machine's deadline may have become as early as `at` (netstack's `wake`). */
  wake(at: Instant): void {
    this.#arm(at)
  }

  close(): void {
    this.#closed = true
    this.#timer?.clear()
    this.#driven.clear()
  }

  #arm(at: number): void {
    if (this.#closed || at >= this.#armed) return
    this.#timer?.clear()
    this.#armed = at
    const delay = Math.max(0, Math.ceil(elapsed(this.#clock.now(), at as Instant)))
    this.#timer = this.#timers.setTimer(milliseconds(delay), () => this.#fire())
  }

  #fire(): void {
    this.#armed = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    for (const driven of this.#driven) {
      const at = driven.deadline()?.at
      if (at !== undefined && at <= now) driven.expire(now)
    }
    this.kick()
  }
}
