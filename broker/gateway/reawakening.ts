import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, elapsed, type Instant, milliseconds } from '#shared/time/instant.ts'

/** Handshakes begun a second after a restart: a seventh of what one core can do (DESIGN D7). */
export const initiationsPerSecond = 500

const tick = milliseconds(20)

/** What a timer that rings late may make up for at once: a tenth of a second's. */
const mostAtOnce = initiationsPerSecond / 10

/**
 * Works through a list at a steady pace. After a restart the broker calls its devices so: those that have backed off, or whose session lapsed
 * while nobody heard them, are back before they try again themselves.
 */
export class Reawakening<T> {
  readonly #clock: Pick<Clock, 'now'>
  readonly #timers: Timers
  readonly #begin: (item: T) => void
  readonly #waiting: T[]
  #timer: Timer | undefined
  #lookedAt: Instant
  /** Items that the time since the beginning has earned and that have not begun. */
  #earned = 0

  constructor(items: Iterable<T>, { clock, timers }: { clock: Pick<Clock, 'now'>; timers: Timers }, begin: (item: T) => void) {
    this.#waiting = [...items].reverse()
    this.#clock = clock
    this.#timers = timers
    this.#begin = begin
    this.#lookedAt = clock.now()
    this.#next()
  }

  get left(): number {
    return this.#waiting.length
  }

  stop(): void {
    this.#timer?.clear()
    this.#waiting.length = 0
  }

  #next(): void {
    if (this.#waiting.length === 0) return
    this.#timer = this.#timers.setTimer(tick, () => {
      const now = this.#clock.now()
      this.#earned += (elapsed(this.#lookedAt, now) * initiationsPerSecond) / 1_000
      this.#lookedAt = now
      const count = Math.floor(Math.min(this.#earned, mostAtOnce))
      this.#earned = Math.min(this.#earned, mostAtOnce) - count
      for (let i = 0; i < count; i++) {
        const item = this.#waiting.pop()
        if (item === undefined) return
        this.#begin(item)
      }
      this.#next()
    })
  }
}
