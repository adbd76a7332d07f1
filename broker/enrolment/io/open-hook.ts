import type { HookPlace } from '#broker/enrolment/enrolment-rules.ts'
import { Hook } from '#broker/enrolment/hook.ts'
import type { Log } from '#shared/platform/log.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'
import { hookProgram } from './hook-program.ts'
import { hookService } from './hook-service.ts'

/** What the hook has for one verdict, ms. */
const limitMs = 5_000

export function openHook({ place, ca }: HookPlace, log: Log, limit = limitMs): Hook {
  const road = place.startsWith('https:') ? hookService(place, limit, ca) : hookProgram(place, limit)
  return new Hook(road, log, backgroundTimers)
}
