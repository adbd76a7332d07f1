import type { Config } from '#broker/config.ts'
import { isAditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { pause } from '#shared/platform/pause.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'
import { askBroker } from './io/admin-client.ts'

/** How long a command waits for a folder that is held without anybody answering on its socket: a broker that starts or ends. */
const patience = seconds(10)
const between = milliseconds(100)

/**
 * Does what an administrator asks: inside the broker that runs on `dataDir`, else here. The registry's code is loaded only where no
 * broker answers, so that a command beside a running one starts quickly. The configuration is read only then, too.
 */
export async function ask(dataDir: string, config: () => Promise<Config>, verb: string, args: unknown): Promise<unknown> {
  const giveUp = systemClock.now() + patience
  for (;;) {
    const answered = await askBroker(dataDir, verb, args)
    if (answered) return answered.result
    try {
      const { performHere } = await import('./data-folder.ts')
      const { createLog } = await import('#shared/platform/log.ts')
      return await performHere(dataDir, await config(), createLog('warn', 'adit-broker'), verb, args)
    } catch (error) {
      if (!isAditError(error) || error.code !== 'state-locked' || systemClock.now() >= giveUp) throw error
      await pause(systemTimers, between)
    }
  }
}
