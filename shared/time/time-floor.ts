import { type Clock, type WallTime, wallTime } from './instant.ts'

/**
 * The earliest time that it can be now (DESIGN D5): boards without a battery wake in 1970. The floor is the latest of what we have
 * good reason to believe (build time, own certificate's notBefore, the broker's time over mutual TLS). Our own clock never raises it,
 * else an excursion of twenty years would stay for ever.
 */
export class TimeFloor {
  readonly #clock: Clock
  #floor: WallTime

  constructor(clock: Clock, ...evidence: readonly (number | undefined)[]) {
    this.#clock = clock
    this.#floor = wallTime(Math.max(0, ...evidence.map((ms) => ms ?? 0)))
  }

  get floor(): WallTime {
    return this.#floor
  }

  /** New evidence; lower evidence changes nothing. */
  raise(ms: number): void {
    if (Number.isFinite(ms) && ms > this.#floor) this.#floor = wallTime(ms)
  }

  /** The time to judge certificates by and to stamp readings with: the clock, but never below the floor. */
  now(): WallTime {
    return wallTime(Math.max(this.#clock.wall(), this.#floor))
  }

  /** Whether the clock stands below the floor, which makes `now` a bound and no time. */
  get isUnsure(): boolean {
    return this.#clock.wall() < this.#floor
  }
}
