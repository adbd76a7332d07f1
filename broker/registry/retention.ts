import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, type Duration, milliseconds, minutes } from '#shared/time/instant.ts'
import type { TelemetryStore } from './telemetry.ts'

export interface RetentionRule {
  /** Readings that came before so long ago go; none where undefined. */
  keep?: Duration
  /** So many readings stay; all where undefined. */
  rows?: number
  clock: Clock
  timers: Timers
  log: Log
}

/** Arrivals in one step: a few ms of the writer's time. */
const stepArrivals = 100
const pauseWhileBusy = milliseconds(20)
const pauseWhenDone = minutes(1)

/** Prunes for as long as the broker runs: a step, a short pause while there is more, a long one when there is not. */
export class Retention {
  readonly #telemetry: TelemetryStore
  readonly #rule: RetentionRule
  #timer: Timer | undefined
  #step: Promise<void> | undefined
  #closed = false

  constructor(telemetry: TelemetryStore, rule: RetentionRule) {
    this.#telemetry = telemetry
    this.#rule = rule
    if (rule.keep !== undefined || rule.rows !== undefined) this.#arm(pauseWhenDone)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.clear()
    await this.#step
  }

  #arm(pause: Duration): void {
    if (this.#closed) return
    this.#timer = this.#rule.timers.setTimer(pause, () => {
      this.#step = this.#prune()
    })
  }

  async #prune(): Promise<void> {
    const { keep, rows, clock, log } = this.#rule
    const before = keep === undefined ? 0 : clock.wall() - keep
    try {
      const removed = await this.#telemetry.prune(before, rows ?? Number.POSITIVE_INFINITY, stepArrivals)
      this.#arm(removed > 0 ? pauseWhileBusy : pauseWhenDone)
    } catch (error) {
      log.error({ error }, 'old readings could not be removed')
      this.#arm(pauseWhenDone)
    }
  }
}
