import type { Deadline } from '#shared/machine.ts'
import type { Instant } from '#shared/time/instant.ts'

/** The timers of one association, a handful: each has a name, which is also the reason that diagnostics show. */
export class NamedTimers {
  readonly #timers = new Map<string, { at: Instant; run: (now: Instant) => void }>()

  /** Sets the timer of that name, or moves it. */
  set(name: string, at: Instant, run: (now: Instant) => void): void {
    this.#timers.set(name, { at, run })
  }

  cancel(name: string): void {
    this.#timers.delete(name)
  }

  clear(): void {
    this.#timers.clear()
  }

  deadline(): Deadline | undefined {
    let first: Deadline | undefined
    for (const [why, { at }] of this.#timers) if (first === undefined || at < first.at) first = { at, why }
    return first
  }

  /** Runs what is due, the earliest first; what a timer sets anew for a time past runs too. */
  expire(now: Instant): void {
    for (;;) {
      const first = this.deadline()
      if (first === undefined || first.at > now) return
      const timer = this.#timers.get(first.why)!
      this.#timers.delete(first.why)
      timer.run(now)
    }
  }
}
