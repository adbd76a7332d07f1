import { PayloadError, parsePayload, type Stamp, samplesOf } from '#agent/core/reading-payload.ts'
import type { ReadingSink } from '#agent/io/local-mqtt.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import { isDamage } from '#shared/platform/sqlite-error.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import {
  damageSample,
  Outbox,
  type OutboxLimits,
  type OutboxStatus,
  type OutboxStore,
  type Sample,
} from '#shared/telemetry/outbox.ts'
import { Quality } from '#shared/telemetry/reading.ts'
import { seconds } from '#shared/time/instant.ts'
import type { TimeFloor } from '#shared/time/time-floor.ts'

export interface ReadingStoreOptions {
  readonly limits: OutboxLimits
  readonly time: TimeFloor
  readonly timers: Timers
  readonly log: Log
  /** `aside`: what the damaged file is called now that a new one was begun in its place. */
  openStore(): Promise<{ store: OutboxStore; aside?: string }>
  /** The highest number that a boot bore, as another file remembers it. */
  readonly boots: { readonly boot: number; raiseBoot(boot: number): void }
  /** The storage is there. */
  onOpen(outbox: Outbox): void
  /** A reading was committed. */
  onAppended(): void
}

export interface StorageStatus {
  /** `degraded`: readings are refused, since nothing could promise to keep them; tunnel and services go on. */
  readonly state: 'opening' | 'ok' | 'degraded'
  readonly error: string | null
  readonly outbox: OutboxStatus | null
  /** Local readings that could not be committed; their publishers were not acknowledged. */
  readonly failed: number
}

const REOPEN_AFTER = seconds(30)

/** Stamps readings and commits them; a storage that fails costs the readings' acknowledgement and nothing else (F-04, F-06). */
export class ReadingStore implements ReadingSink {
  readonly #options: ReadingStoreOptions
  #store: OutboxStore | undefined
  #outbox: Outbox | undefined
  #error: AditError | undefined
  #failed = 0
  #reopen: Timer | undefined
  #closed = false

  constructor(options: ReadingStoreOptions) {
    this.#options = options
  }

  /** Opens the storage; where that fails, goes on trying. */
  async open(): Promise<void> {
    try {
      const { store, aside } = await this.#options.openStore()
      this.#store = store
      const outbox = await this.#openOutbox(store, aside !== undefined)
      if (this.#closed) return await store.close()
      this.#outbox = outbox
      this.#setError(undefined)
      if (aside !== undefined) await this.#tellLoss(outbox, aside)
      this.#options.onOpen(outbox)
    } catch (error) {
      await this.#store?.close().catch(() => {})
      this.#store = undefined
      this.#setError(toAditError(error))
      if (!this.#closed) this.#reopen = this.#options.timers.setTimer(REOPEN_AFTER, () => void this.open())
    }
  }

  async #openOutbox(store: OutboxStore, isNew: boolean): Promise<Outbox> {
    const { limits, time, boots, onAppended } = this.#options
    // A new file counts from one; the broker would take its readings for those it has. Where even the other copy is lost, the seconds
    // since 1970 are beyond any count of starts.
    const seconds = isNew ? Math.floor(time.now() / 1000) : 0
    const outbox = await Outbox.open(store, {
      limits,
      leastBoot: Math.max(boots.boot + 1, seconds),
      now: () => Math.round(time.now()),
      onAppended,
    })
    boots.raiseBoot(outbox.status.boot)
    return outbox
  }

  async #tellLoss(outbox: Outbox, aside: string): Promise<void> {
    this.#options.log.warn(
      { aside },
      'the outbox was damaged and put aside; a new one was begun, and the broker is told of the gap',
    )
    await outbox.append([damageSample(aside, Math.round(this.#options.time.now()))])
  }

  /** Someone met an error of the outbox. A file that went bad while it was in use is put aside, as at a start. */
  failed(error: unknown): void {
    if (isDamage(error)) void this.#beginAnew()
  }

  async #beginAnew(): Promise<void> {
    const store = this.#store
    if (store === undefined) return
    this.#store = undefined
    this.#outbox = undefined
    await store.close().catch(() => {})
    if (!this.#closed) await this.open()
  }

  take(name: string, payload: Uint8Array): Promise<void> {
    return this.append(parsePayload(name, payload, this.#stamp()))
  }

  /** Readings of the Node API: decoded already. Throws AditError `usage` for what is no reading. */
  async report(readings: unknown): Promise<void> {
    try {
      await this.append(samplesOf(undefined, readings, this.#stamp()))
    } catch (error) {
      if (!(error instanceof PayloadError)) throw error
      throw new AditError('usage', `That is no reading: ${error.message}.`, 'A reading is {name, value, unit?, at?}.')
    }
  }

  /** Resolves when the samples are durable. */
  async append(samples: readonly Sample[]): Promise<void> {
    try {
      if (this.#outbox === undefined) throw this.#error ?? opening()
      await this.#outbox.append(samples)
      this.#setError(undefined)
    } catch (error) {
      this.#failed += samples.length
      if (this.#outbox !== undefined) this.#setError(toAditError(error))
      this.failed(error)
      throw error
    }
  }

  status(): StorageStatus {
    const state = this.#error ? 'degraded' : this.#outbox ? 'ok' : 'opening'
    return { state, error: this.#error?.message ?? null, outbox: this.#outbox?.status ?? null, failed: this.#failed }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#reopen?.clear()
    await this.#store?.close().catch(() => {})
  }

  #stamp(): Stamp {
    const { time } = this.#options
    return { at: Math.round(time.now()), quality: time.isUnsure ? Quality.clockUnsure : Quality.good }
  }

  /** One line when it breaks and one when it works again. */
  #setError(error: AditError | undefined): void {
    if (error && !this.#error) this.#options.log.warn({ code: error.code }, `storage degraded: ${error.message} ${error.mend}`)
    if (!error && this.#error) this.#options.log.info('storage works again')
    this.#error = error
  }
}

const opening = (): AditError => new AditError('storage-failed', 'The storage is not open yet.', 'Try again in a moment.')
