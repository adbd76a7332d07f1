import type { AgentCore } from '#agent/core/agent-core.ts'
import { pause } from '#shared/platform/pause.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, elapsed, milliseconds, seconds } from '#shared/time/instant.ts'

/** After a look the path is watched for so long: who looks again within it finds what was seen 5 s ago at most. */
const watchedFor = seconds(6)
/** Evidence of this age is old enough to be renewed before it is shown (F-30). */
const freshFor = seconds(15)
/** How long a look waits for new evidence. */
const patience = milliseconds(1_500)
const pollEvery = milliseconds(50)

interface HealthLookOptions {
  readonly core: Pick<AgentCore, 'watch' | 'state' | 'health'>
  readonly clock: Clock
  readonly timers: Timers
}

/** A person looks at what the path is good for: it is probed while he does, since an idle path is judged by keepalives alone. */
export class HealthLook {
  readonly #options: HealthLookOptions
  #watching: Timer | undefined

  constructor(options: HealthLookOptions) {
    this.#options = options
  }

  /** Resolves when `health` rests on evidence of the last 15 s, or none could be had at once. */
  async look(): Promise<void> {
    const { core, clock, timers } = this.#options
    if (this.#watching === undefined) core.watch(true)
    this.#watching?.clear()
    this.#watching = timers.setTimer(watchedFor, () => this.close())
    const until = clock.now() + patience
    while (core.state === 'up' && this.#isOld() && clock.now() < until) await pause(timers, pollEvery)
  }

  close(): void {
    if (this.#watching === undefined) return
    this.#watching.clear()
    this.#watching = undefined
    this.#options.core.watch(false)
  }

  #isOld(): boolean {
    const { evidenceAt } = this.#options.core.health
    return evidenceAt === undefined || elapsed(evidenceAt, this.#options.clock.now()) > freshFor
  }
}
