import type { Principal } from '#broker/registry/principal.ts'
import type { Timers } from '#shared/platform/timers.ts'
import type { Clock, Duration } from '#shared/time/instant.ts'
import { elapsed, milliseconds } from '#shared/time/instant.ts'

/** Pause between two looks, ms: what a follower sees is at most so much older than the disk. */
const lookEveryMs = 250

interface Wait {
  /** How long to wait at most; zero: look once. */
  span: Duration
  /** On whose behalf: revoked, its waits end at once. */
  subject: Principal
  /** The client's connection; once it is closed nobody waits for the answer. */
  gone: { readonly destroyed: boolean }
}

/**
 * Requests that wait for something to appear. A look is one indexed query, so looking four times a second costs less than keeping
 * subscriptions true across grants, revocations and restarts; every wait ends at its span, at `close`, or with its client.
 */
export class LongPolls {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #pauses = new Set<{ principal: Principal; end: () => void }>()
  #closed = false

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock
    this.#timers = timers
  }

  /** Calls `look` until `enough` or until the wait is over, and answers what was seen last. `look` may throw: that ends it. */
  async until<T>({ span, subject, gone }: Wait, look: () => Promise<T>, enough: (found: T) => boolean): Promise<T> {
    const from = this.#clock.now()
    let found = await look()
    while (!enough(found) && !this.#closed && !gone.destroyed) {
      const left = span - elapsed(from, this.#clock.now())
      if (left <= 0) break
      await this.#pause(subject, milliseconds(Math.min(left, lookEveryMs)))
      found = await look()
    }
    return found
  }

  /** Ends the pauses of one principal, so that its next look meets its new rights now. */
  wake(principal: Principal): void {
    for (const pause of this.#pauses) if (pause.principal.id === principal.id) pause.end()
  }

  /** Every wait answers with what it has. */
  close(): void {
    this.#closed = true
    for (const pause of this.#pauses) pause.end()
  }

  #pause(principal: Principal, span: Duration): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer.clear()
        this.#pauses.delete(pause)
        resolve()
      }
      const pause = { principal, end }
      const timer = this.#timers.setTimer(span, end)
      this.#pauses.add(pause)
    })
  }
}
