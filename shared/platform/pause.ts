import type { Duration } from '#shared/time/instant.ts'
import type { Timers } from './timers.ts'

/** Resolves when so long is over, or as soon as `stopped` is aborted: whoever paused looks which it was. */
export function pause(timers: Timers, length: Duration, stopped?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = timers.setTimer(length, end)
    function end(): void {
      timer.clear()
      stopped?.removeEventListener('abort', end)
      resolve()
    }
    if (stopped?.aborted) end()
    else stopped?.addEventListener('abort', end)
  })
}
