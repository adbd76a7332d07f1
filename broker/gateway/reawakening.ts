import type { Timer, Timers } from '#shared/platform/timers.ts'
import { milliseconds } from '#shared/time/instant.ts'

/** Handshakes begun a second after a restart: a seventh of what one core can do (DESIGN D7). */
export const initiationsPerSecond = 500

const tick = milliseconds(20)

/**
 * Works through a list at a steady pace. After a restart the broker calls its devices so: those that have backed off, or whose session lapsed
 * while nobody heard them, are back before they try again themselves.
 */
export class Reawakening<T> {
  readonly #timers: Timers
  readonly #begin: (item: T) => void
  readonly #waiting: T[]
  #timer: Timer | undefined

  constructor(items: Iterable<T>, timers: Timers, begin: (item: T) => void) {
    this.#waiting = [...items].reverse()
    this.#timers = timers
    this.#begin = begin
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
      for (let i = 0; i < (initiationsPerSecond * tick) / 1_000; i++) {
        const item = this.#waiting.pop()
        if (item === undefined) return
        this.#begin(item)
      }
      this.#next()
    })
  }
}
