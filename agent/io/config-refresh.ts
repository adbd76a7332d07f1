import type { AgentConfig } from '#agent/core/agent-config.ts'
import { meetBroker } from '#agent/core/met-brokers.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Duration, days, hours, milliseconds, seconds } from '#shared/time/instant.ts'
import type { BrokerApi } from './broker-api.ts'
import type { Floors } from './floors.ts'
import type { RecordKeeper } from './record-keeper.ts'
import type { AgentRecord } from './state-folder.ts'

export interface ConfigRefreshOptions {
  readonly suite: Pick<Suite, 'random'>
  readonly timers: Timers
  readonly log: Log
  readonly keeper: RecordKeeper
  readonly floors: Pick<Floors, 'tellTime'>
  /** The API under the certificate of the moment. */
  api(): BrokerApi
  /** The broker's word has come, new or not. True: to be told what came of it. */
  heard(config: AgentConfig): Promise<boolean | undefined>
  /** The broker lets our certificate do nothing. True: it is another one by now, and the broker is to be asked again. */
  refused(): Promise<boolean | undefined>
  /** What is to be remembered of where the API has answered from. */
  proven(): Pick<AgentRecord, 'proven'>
  /** It is another configuration than before, and remembered. */
  onChange(config: AgentConfig): void
}

/** How often an agent that is up asks whether its configuration has changed; jittered. */
const REFRESH_EVERY = hours(6)
/** Likewise where the broker says at once what has changed. */
const REFRESH_TOLD_EVERY = days(3)
/** How soon the broker learns what we made of its word. */
const ANSWER_AFTER = seconds(1)

/** When the broker is asked for the agent's configuration, and what is remembered of its answer. One question at a time. */
export class ConfigRefresh {
  readonly #options: ConfigRefreshOptions
  readonly #backoff: Backoff
  #timer: Timer | undefined
  #asking = false
  #again = false
  #closed = false

  constructor(options: ConfigRefreshOptions) {
    this.#options = options
    this.#backoff = new Backoff(
      { base: seconds(1), cap: seconds(60) },
      uniform((length) => options.suite.random(length)),
    )
  }

  /** The broker says that the configuration has changed. */
  changed(): void {
    // What is being asked may have been answered before the change.
    this.#again = this.#asking
    void this.ask()
  }

  /** The broker is in reach. */
  reached(): void {
    this.#backoff.reset()
  }

  close(): void {
    this.#closed = true
    this.#timer?.clear()
  }

  /** Now, unless that is under way. Resolves when the answer has been taken up; never rejects. */
  async ask(): Promise<void> {
    if (this.#asking || this.#closed) return
    this.#asking = true
    this.#timer?.clear()
    const { log, keeper, refused } = this.#options
    try {
      await this.#take()
    } catch (error) {
      const { code, message } = toAditError(error)
      log.debug({ code, message }, 'the configuration could not be refreshed')
      if (code === 'certificate-refused' && (await refused())) this.#schedule(ANSWER_AFTER)
      // With a configuration there is no hurry: what it holds has worked.
      else this.#schedule(keeper.record.config ? milliseconds(REFRESH_EVERY / 12) : this.#backoff.next())
    } finally {
      this.#asking = false
      if (this.#again) {
        this.#again = false
        void this.ask()
      }
    }
  }

  async #take(): Promise<void> {
    const { suite, keeper, floors, api, heard, proven, onChange } = this.#options
    const config = await api().config(keeper.record.met)
    if (this.#closed) return
    floors.tellTime(config.time)
    const answer = await heard(config)
    const isNew = JSON.stringify({ ...config, time: 0 }) !== JSON.stringify({ ...keeper.record.config, time: 0 })
    keeper.remember(proven())
    // Which broker it was that answered: it may be another one than the last time.
    keeper.remember({ met: meetBroker(keeper.record.met ?? [], config.broker.incarnation) })
    if (isNew) {
      keeper.remember({ config, name: config.name })
      onChange(config)
    }
    const every = keeper.record.config?.data === undefined ? REFRESH_EVERY : REFRESH_TOLD_EVERY
    this.#schedule(answer ? ANSWER_AFTER : milliseconds(every * (0.75 + suite.random(1)[0]! / 510)))
  }

  #schedule(delay: Duration): void {
    if (!this.#closed) this.#timer = this.#options.timers.setTimer(delay, () => void this.ask())
  }
}
