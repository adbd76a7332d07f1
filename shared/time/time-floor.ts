import { type Clock, days, type Instant, minutes, type WallTime, wallTime } from './instant.ts'

/** How far a clock may be off and still be right. */
const agreement = minutes(5)
/** How far a clock that was right may be ahead of the monotonic one. */
const longestSleep = days(400)
/** A clock that is so far above the floor is rather wrong than right: no shelf is so patient. */
const implausible = days(25 * 365)

/**
 * The earliest time that it can be now (DESIGN D5): boards without a battery wake in 1970. The floor is the latest of what we have
 * good reason to believe (build time, own certificate's notBefore, the broker's time over mutual TLS). Our own clock never raises it,
 * else an excursion of twenty years would stay for ever.
 */
export class TimeFloor {
  readonly #clock: Clock
  #floor: WallTime
  /** What somebody who knows has said, when we heard it, and whether our clock agreed. */
  #told: { readonly time: number; readonly at: Instant; readonly agreed: boolean } | undefined

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

  /** Authenticated word that it is `ms` at this moment: a floor, and what the clock is measured by from now on. */
  tell(ms: number): void {
    this.raise(ms)
    const agreed = Math.abs(this.#clock.wall() - ms) <= agreement
    this.#told = { time: ms, at: this.#clock.now(), agreed }
  }

  /**
   * The time to stamp readings with and to make plans by: the clock, but never below the floor; where the clock is known to be wrong, what
   * has passed since somebody said the time.
   */
  now(): WallTime {
    const wall = this.#clock.wall()
    const reckoned = this.#reckoned
    return wallTime(Math.max(reckoned !== undefined && !this.#isPlausible(wall, reckoned) ? reckoned : wall, this.#floor))
  }

  /** Whether `now` is a bound and no time: the clock stands below the floor or far above it, and nobody has said the time. */
  get isUnsure(): boolean {
    const wall = this.#clock.wall()
    return this.#told === undefined && (wall < this.#floor || wall > this.#floor + implausible)
  }

  get #reckoned(): number | undefined {
    return this.#told && this.#told.time + (this.#clock.now() - this.#told.at)
  }

  /** A monotonic clock stands still while the machine sleeps, so one that was right may be ahead of what we reckon. */
  #isPlausible(wall: number, reckoned: number): boolean {
    const ahead = wall - reckoned
    return ahead >= -agreement && ahead <= (this.#told?.agreed ? longestSleep : agreement)
  }
}
