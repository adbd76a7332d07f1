import type { Timer, Timers } from '#shared/platform/timers.ts'
import { milliseconds } from '#shared/time/instant.ts'

/** Between two agents that are told: what they then ask of the API comes no faster than 25 a second. */
const between = milliseconds(40)

/** Tells many agents that their configuration has changed, one after the other, since each of them asks for it at once. */
export class ConfigNews<T> {
  readonly #timers: Timers
  readonly #tell: (item: T) => void
  readonly #waiting = new Set<T>()
  #timer: Timer | undefined

  constructor(timers: Timers, tell: (item: T) => void) {
    this.#timers = timers
    this.#tell = tell
  }

  /** Those that still wait from before are told once. */
  announce(items: Iterable<T>): void {
    for (const item of items) this.#waiting.add(item)
    if (this.#timer === undefined) this.#next()
  }

  stop(): void {
    this.#timer?.clear()
    this.#waiting.clear()
  }

  #next(): void {
    const [item] = this.#waiting
    if (item === undefined) {
      this.#timer = undefined
      return
    }
    this.#waiting.delete(item)
    this.#tell(item)
    this.#timer = this.#timers.setTimer(between, () => this.#next())
  }
}
