import { LocalMqtt } from '#agent/io/local-mqtt.ts'
import { linuxSources, readVitalSigns } from '#agent/io/vital-signs.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Quality } from '#shared/telemetry/reading.ts'
import { milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import type { TimeFloor } from '#shared/time/time-floor.ts'
import type { DeviceConfig } from './config.ts'
import type { ReadingStore } from './reading-store.ts'
import type { StatusParts } from './status.ts'

interface ReadingSourcesOptions {
  readonly timers: Timers
  readonly log: Log
  readonly config: Pick<DeviceConfig, 'mqtt' | 'vitalsEvery'>
  readonly store: ReadingStore
  /** The state folder, whose disk is one of the vital signs. */
  readonly folder: string
  readonly time: TimeFloor
  /** Whether data costs enough for vital signs to be rarer. */
  isSparing(): boolean
}

/** While the default port belongs to another program, it is tried again so often. */
const LISTEN_AGAIN_AFTER = seconds(60)

/** Where data is paid for by the byte, vital signs come no more often than this. */
const SPARING_VITALS_EVERY = minutes(15)

/** Where readings come from that no program of the user's brings by the Node API: the local MQTT port, and the machine's own vital signs. */
export class ReadingSources {
  readonly #options: ReadingSourcesOptions
  #mqtt: LocalMqtt | undefined
  #error: string | undefined
  #listenAgain: Timer | undefined
  #vitals: Timer | undefined
  #closed = false

  constructor(options: ReadingSourcesOptions) {
    this.#options = options
  }

  get mqtt(): StatusParts['mqtt'] {
    return { address: this.#mqtt?.address, counters: this.#mqtt?.counters, error: this.#error }
  }

  /**
   * Another broker on the default port shall not cost the tunnel: only a place that a person named must be free. Throws AditError
   * `port-in-use` for that.
   */
  async listen(): Promise<void> {
    const { config, store, log, timers } = this.#options
    const { mqtt } = config
    if (mqtt === 'off' || this.#closed) return
    try {
      this.#mqtt = await LocalMqtt.listen(mqtt.listen, store, log)
      this.#error = undefined
      // It may have been ended while the port was being opened.
      if (this.#closed) await this.#mqtt.close()
    } catch (error) {
      const problem = toAditError(error)
      if (mqtt.explicit) throw problem
      if (this.#error === undefined) log.warn({ code: problem.code }, `${problem.message} ${problem.mend}`)
      this.#error = problem.message
      if (!this.#closed) this.#listenAgain = timers.setTimer(LISTEN_AGAIN_AFTER, () => void this.listen())
    }
  }

  /** The first ones now, and then in their time. */
  async reportVitals(): Promise<void> {
    const { config, store, folder, time, timers, isSparing } = this.#options
    if (config.vitalsEvery === undefined || this.#closed) return
    try {
      const quality = time.isUnsure ? Quality.clockUnsure : Quality.good
      await store.append(await readVitalSigns(linuxSources(folder), Math.round(time.now()), quality))
    } catch {
      // The storage has said so already; the next round tries again.
    }
    const every = isSparing() ? milliseconds(Math.max(config.vitalsEvery, SPARING_VITALS_EVERY)) : config.vitalsEvery
    if (!this.#closed) this.#vitals = timers.setTimer(every, () => void this.reportVitals())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#listenAgain?.clear()
    this.#vitals?.clear()
    await this.#mqtt?.close()
  }
}
