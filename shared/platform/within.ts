import type { Duration } from '#shared/time/instant.ts'
import type { Timer, Timers } from './timers.ts'

/** What `work` comes to; or, where that takes longer than `length`, what `late` gives or throws. The work itself goes on. */
export async function within<T>(timers: Timers, length: Duration, work: Promise<T>, late: () => T): Promise<T> {
  let timer: Timer | undefined
  const over = new Promise<void>((resolve) => {
    timer = timers.setTimer(length, resolve)
  })
  try {
    return await Promise.race([work, over.then(late)])
  } finally {
    timer?.clear()
  }
}
