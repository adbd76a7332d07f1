import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, milliseconds } from '#shared/time/instant.ts'
import type { FromLane, LaneStart, ToLane } from './lane-messages.ts'

/** A lane's thread, or what stands for it in a test. */
export interface LaneThread {
  post(message: ToLane): void
  /** It ends by itself after `stop`; at once after this. */
  end(): Promise<void>
}

export interface LaneSeatOptions {
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly start: LaneStart
  /** Starts a thread. `failed`: it has ended without having been asked. */
  spawn(start: LaneStart, take: (news: FromLane) => void, failed: (error: unknown) => void): LaneThread
  take(news: FromLane): void
  /** The thread before is no more, and reads nothing. */
  vacated(): void
  /** All that the next thread must know, in order. */
  told(): Iterable<ToLane>
}

/** After a fault, before another thread takes the lane over; doubled with each fault that follows soon. */
const RESTART_AFTER = milliseconds(20)
const RESTART_LATEST = milliseconds(5_000)
/** A thread that has lived so long counts as sound. */
const SOUND_AFTER = milliseconds(60_000)

/** The place of one lane's thread: whoever sits there, another one follows when it fails, and is told what it must know. */
export class LaneSeat {
  readonly #options: LaneSeatOptions
  #start: LaneStart
  #thread: LaneThread | undefined
  #restarts = 0
  #startedAt: number
  #delay = RESTART_AFTER
  #restart: Timer | undefined
  #closed = false
  /** Until the first thread has said a word. */
  #proving: ((fault: unknown) => void) | undefined

  constructor(options: LaneSeatOptions) {
    this.#options = options
    this.#start = options.start
    this.#startedAt = options.clock.now()
  }

  /** How often a thread had to be replaced. */
  get restarts(): number {
    return this.#restarts
  }

  /** Starts the first thread; resolves to why it could not begin, or to undefined. */
  prove(): Promise<unknown> {
    return new Promise((resolve) => {
      this.#proving = resolve
      this.#goOn()
    })
  }

  /** Starts the thread where it does not run. */
  begin(): void {
    if (this.#thread === undefined) this.#goOn()
  }

  /** While there is none it is not told: the next one is told all. */
  post(message: ToLane): void {
    if (this.#restart === undefined) this.#thread?.post(message)
  }

  /** Its sockets are others from now on. */
  setSockets(udp4: number, udp6: number): void {
    this.#start = { ...this.#start, udp4, udp6 }
    this.post({ kind: 'sockets', udp4, udp6 })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#restart?.clear()
    this.post({ kind: 'stop' })
    await this.#thread?.end()
  }

  #proven(fault: unknown): void {
    this.#proving?.(fault)
    this.#proving = undefined
  }

  #failed(error: unknown): void {
    if (this.#proving !== undefined) {
      // A thread that never stood would not stand the next time either.
      this.#closed = true
      this.#proven(error)
      return
    }
    if (this.#closed || this.#restart !== undefined) return
    const { clock, timers, log } = this.#options
    if (clock.now() - this.#startedAt > SOUND_AFTER) this.#delay = RESTART_AFTER
    const reason = error instanceof Error ? error.message : String(error)
    const { lane } = this.#start
    const fields = { code: 'lane-failed', reason, restarts: this.#restarts, lane }
    log.error(fields, 'the fast engine has failed; another thread takes over')
    this.#restart = timers.setTimer(this.#delay, () => {
      this.#restart = undefined
      this.#restarts++
      this.#goOn()
    })
    this.#delay = milliseconds(Math.min(RESTART_LATEST, this.#delay * 2))
  }

  #goOn(): void {
    const { clock, spawn, take, vacated, told } = this.#options
    this.#startedAt = clock.now()
    vacated()
    this.#thread = spawn(
      this.#start,
      (news) => {
        this.#proven(undefined)
        take(news)
      },
      (error) => this.#failed(error),
    )
    for (const message of told()) this.post(message)
  }
}
