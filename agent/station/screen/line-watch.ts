import type { LineCount, LineEvent } from '#agent/station/line-event.ts'
import type { UnitDesk } from '#agent/station/unit-desk.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, milliseconds } from '#shared/time/instant.ts'
import { afterEvent, beginLine, type LineState, type LineView, viewOf, withCount } from './line-state.ts'

/** The part of the desk that a screen looks at. */
export type WatchedDesk = Pick<UnitDesk, 'onEvent' | 'count'>

export interface LineListener {
  event?(event: LineEvent): void
  count?(count: LineCount): void
  /** Something may look different: a quarter of a second after it changed, and each second while units are in hand. */
  view?(view: LineView): void
}

/** From a change to its view, ms: many changes make one view. */
const viewDelay = milliseconds(250)
/** Ages grow by themselves. */
const viewPeriod = milliseconds(1_000)
/** Counts are asked for after events, and so often without: synchronising changes them too. */
const countPeriod = 5_000

/** Follows a line, and tells screens of it. */
export class LineWatch {
  readonly #desk: WatchedDesk
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #listeners = new Set<LineListener>()
  readonly #unsubscribe: () => void
  #state: LineState
  #countedAt: number
  #timer: Timer | undefined
  #counting = false
  #stale = false
  #closed = false

  private constructor(desk: WatchedDesk, clock: Clock, timers: Timers, count: LineCount) {
    this.#desk = desk
    this.#clock = clock
    this.#timers = timers
    this.#state = beginLine(count, clock.wall())
    this.#countedAt = clock.now()
    this.#unsubscribe = desk.onEvent((event) => this.#take(event))
  }

  static async open(desk: WatchedDesk, clock: Clock, timers: Timers): Promise<LineWatch> {
    const watch = new LineWatch(desk, clock, timers, await desk.count())
    watch.#schedule(viewPeriod)
    return watch
  }

  get view(): LineView {
    return viewOf(this.#state, this.#clock.wall())
  }

  get count(): LineCount {
    return this.#state.count
  }

  listen(listener: LineListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#closed = true
    this.#timer?.clear()
    this.#unsubscribe()
    this.#listeners.clear()
  }

  #take(event: LineEvent): void {
    this.#state = afterEvent(this.#state, event)
    for (const { event: hear } of this.#listeners) hear?.(event)
    if (event.progress === undefined) this.#stale = true
    this.#schedule(viewDelay)
  }

  #schedule(delay: typeof viewDelay): void {
    if (this.#closed) return
    this.#timer?.clear()
    this.#timer = this.#timers.setTimer(delay, () => void this.#tell())
  }

  async #tell(): Promise<void> {
    if (this.#stale || this.#clock.now() - this.#countedAt > countPeriod) await this.#recount()
    if (this.#closed) return
    const { view } = this
    for (const { view: see } of this.#listeners) see?.(view)
    this.#schedule(viewPeriod)
  }

  async #recount(): Promise<void> {
    if (this.#counting) return
    this.#counting = true
    this.#stale = false
    try {
      const count = await this.#desk.count()
      const isNews = JSON.stringify(count) !== JSON.stringify(this.#state.count)
      this.#state = withCount(this.#state, count)
      if (isNews && !this.#closed) for (const { count: hear } of this.#listeners) hear?.(count)
    } catch {
      // The ledger says elsewhere what ails it; a screen shows the last that it knew.
    } finally {
      this.#countedAt = this.#clock.now()
      this.#counting = false
    }
  }
}
