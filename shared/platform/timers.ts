import type { Duration } from '#shared/time/instant.ts'

/** One call that is to come. */
export interface Timer {
  /** Harmless once the call has been made. */
  clear(): void
}

/** The port through which shells wait; the simulator implements it on virtual time. */
export interface Timers {
  /** Calls `callback` once, `delay` from now (at the soonest). A waiting timer keeps the process alive. */
  setTimer(delay: Duration, callback: () => void): Timer
}

/** Node waits at most 2^31 - 1 ms; more would fire at once. */
const longestWait = 0x7fff_ffff

export const systemTimers: Timers = {
  setTimer(delay, callback) {
    const handle = setTimeout(callback, Math.min(Math.max(delay, 0), longestWait))
    return { clear: () => clearTimeout(handle) }
  },
}

/** The same, for work that must not keep a finished process alive (batches, pacing). */
export const backgroundTimers: Timers = {
  setTimer(delay, callback) {
    const handle = setTimeout(callback, Math.min(Math.max(delay, 0), longestWait)).unref()
    return { clear: () => clearTimeout(handle) }
  },
}
