import { type Clock, type Duration, type Instant, type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * A board's clocks: monotonic time is the simulation's; wall time is off by a chosen error, since boards without a battery boot
 * in 1970 and others drift (DESIGN D5).
 */
export class DeviceClock implements Clock {
  /** Added to the true wall time. */
  error: Duration
  readonly #truth: Clock

  constructor(truth: Clock, error: Duration) {
    this.#truth = truth
    this.error = error
  }

  /** A clock that starts at 1970-01-01 now. */
  static withoutBattery(truth: Clock): DeviceClock {
    return new DeviceClock(truth, -truth.wall() as Duration)
  }

  now(): Instant {
    return this.#truth.now()
  }

  wall(): WallTime {
    return wallTime(this.#truth.wall() + this.error)
  }
}
