import type { LineCount, LineEvent, UnitStep } from '#agent/station/line-event.ts'
import type { WatchedDesk } from '#agent/station/screen/line-watch.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Clock, instant, wallTime } from '#shared/time/instant.ts'

export const noon = Date.UTC(2026, 5, 1, 12)

export const count: LineCount = {
  station: 'line-7',
  planned: 100,
  delivered: 0,
  failed: 0,
  scrapped: 0,
  quotaLeft: 1_000,
  until: Date.UTC(2026, 11, 31),
  unsynced: 0,
}

/** `at`: ms after noon. */
export const eventAt = (at: number, serial: string, step: UnitStep, more: Partial<LineEvent> = {}): LineEvent => ({
  at: noon + at,
  step,
  serial,
  name: `pi-${serial}`,
  way: 'image',
  ...more,
})

/** A line that does what a test says, in time that a test lets pass. */
export class WatchedLine implements WatchedDesk {
  now = 0
  counted: LineCount = count
  /** How often it was counted. */
  counts = 0
  readonly #listeners = new Set<(event: LineEvent) => void>()
  #timers: { at: number; call: () => void }[] = []

  readonly clock: Clock = { now: () => instant(this.now), wall: () => wallTime(noon + this.now) }
  readonly timers: Timers = {
    setTimer: (delay, call) => {
      const timer = { at: this.now + delay, call }
      this.#timers.push(timer)
      const clear = (): void => {
        this.#timers = this.#timers.filter((one) => one !== timer)
      }
      return { clear }
    },
  }

  get listening(): number {
    return this.#listeners.size
  }

  get waiting(): number {
    return this.#timers.length
  }

  async count(): Promise<LineCount> {
    this.counts++
    return this.counted
  }

  onEvent(listener: (event: LineEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Now. */
  tell(serial: string, step: UnitStep, more: Partial<LineEvent> = {}): void {
    for (const listener of this.#listeners) listener(eventAt(this.now, serial, step, more))
  }

  /** Lets time pass, and what it brings settle. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((one) => one !== next)
      this.now = next.at
      next.call()
      await new Promise((done) => setImmediate(done))
    }
    this.now = end
  }
}
