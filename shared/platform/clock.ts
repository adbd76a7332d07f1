import { type Clock, instant, wallTime } from '#shared/time/instant.ts'

/** The machine's own clocks: monotonic from `performance.now`, wall time from `Date.now`. */
export const systemClock: Clock = {
  now: () => instant(performance.now()),
  wall: () => wallTime(Date.now()),
}
