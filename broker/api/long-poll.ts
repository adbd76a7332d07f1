import type { Timers } from '#shared/platform/timers.ts'
import type { Duration } from '#shared/time/instant.ts'

interface Wait {
  /** How long to wait at most; zero: look once. */
  span: Duration
  /** Row number of the device whose readings are awaited. */
  device: number
  /** Row number of the principal on whose behalf: what changes about it is met at once. */
  subject: number
}

interface Waiting extends Wait {
  look(): void
  end(): void
}

/** Requests that wait for something to appear. Each ends at its span or at `close`, with what it has. */
export class LongPolls {
  readonly #timers: Timers
  readonly #waiting = new Set<Waiting>()
  #closed = false

  constructor(timers: Timers) {
    this.#timers = timers
  }

  /**
   * Calls `look` until it finds `enough`, or until the wait is over, and answers what was seen last. It looks only when something came,
   * or when the subject changed: then `look` may throw, which ends the wait.
   */
  async until<T>(wait: Wait, look: () => Promise<T>, enough: (found: T) => boolean): Promise<T> {
    let over = wait.span <= 0 || this.#closed
    let news = false
    let wake = (): void => {}
    const waiting: Waiting = {
      ...wait,
      look() {
        news = true
        wake()
      },
      end() {
        over = true
        wake()
      },
    }
    // Listening begins before the first look, so that nothing falls between the two.
    this.#waiting.add(waiting)
    const timer = this.#timers.setTimer(wait.span, () => waiting.end())
    try {
      for (;;) {
        news = false
        const found = await look()
        if (enough(found) || over) return found
        if (!news) await new Promise<void>((resolve) => (wake = resolve))
        wake = () => {}
        if (over && !news) return found
      }
    } finally {
      timer.clear()
      this.#waiting.delete(waiting)
    }
  }

  /** New readings of a device are on disk. */
  arrived(device: number): void {
    for (const waiting of this.#waiting) if (waiting.device === device) waiting.look()
  }

  /** The rights of a principal have changed. */
  wakeSubject(subject: number): void {
    for (const waiting of this.#waiting) if (waiting.subject === subject) waiting.look()
  }

  /** Every wait answers with what it has. */
  close(): void {
    this.#closed = true
    for (const waiting of this.#waiting) waiting.end()
  }
}
