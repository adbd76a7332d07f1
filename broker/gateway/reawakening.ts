import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, type Duration, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'

/** Handshakes begun a second after a restart: a seventh of what one core can do (DESIGN D7). */
export const initiationsPerSecond = 500

const tick = milliseconds(20)

/** What a timer that rings late may make up for: no more, so that a broker short of time hears the answers before it asks on. */
const mostAtOnce = 20

/** How often each is called at most, and how long after a round the next one begins. */
const rounds = 3
const between = seconds(5)

/**
 * Works through a list at a steady pace, and twice more through what of it does not answer. After a restart the broker calls its devices so:
 * those that have backed off, or whose session lapsed while nobody heard them, are back before they try again themselves. Devices that
 * are away cost no more than this: nothing repeats a call.
 */
export class Reawakening<T> {
  readonly #clock: Pick<Clock, 'now'>
  readonly #timers: Timers
  readonly #call: (item: T) => boolean
  #waiting: T[]
  #called: T[] = []
  #round = 1
  #timer: Timer | undefined
  #lookedAt: Instant
  /** Calls that the time until now has earned and that were not made. */
  #earned = 0

  /** `call` returns false where the item needs no call (any more). */
  constructor(items: Iterable<T>, { clock, timers }: { clock: Pick<Clock, 'now'>; timers: Timers }, call: (item: T) => boolean) {
    this.#waiting = [...items].reverse()
    this.#clock = clock
    this.#timers = timers
    this.#call = call
    this.#lookedAt = clock.now()
    this.#wait(tick)
  }

  stop(): void {
    this.#timer?.clear()
    this.#waiting = []
    this.#called = []
  }

  #wait(span: Duration): void {
    if (this.#waiting.length > 0) this.#timer = this.#timers.setTimer(span, () => this.#work())
  }

  #work(): void {
    const now = this.#clock.now()
    this.#earned = Math.min(this.#earned + (elapsed(this.#lookedAt, now) * initiationsPerSecond) / 1_000, mostAtOnce)
    this.#lookedAt = now
    while (this.#earned >= 1) {
      const item = this.#waiting.pop()
      if (item === undefined) break
      if (!this.#call(item)) continue
      this.#earned--
      this.#called.push(item)
    }
    if (this.#waiting.length > 0) this.#wait(tick)
    else if (this.#round < rounds) this.#nextRound()
    else this.#called = []
  }

  #nextRound(): void {
    this.#round++
    this.#waiting = this.#called.reverse()
    this.#called = []
    this.#wait(between)
  }
}
