import type { Deadline } from '#shared/machine.ts'
import { Deadlines, type Timed } from '#shared/time/deadlines.ts'
import { after, type Instant, milliseconds } from '#shared/time/instant.ts'

/** Whatever an endpoint wakes up for: associations, and IKE SAs. */
export interface Sleeper extends Timed {
  /** Runs what is due, and schedules itself again where more will be. */
  expire(now: Instant): void
  /** What its earliest timer is for. */
  readonly why: string
}

/** The timers of one endpoint, and how its owner drives them. */
export class WakeUps<T extends Sleeper> extends Deadlines<T> {
  #deadline: Deadline | undefined

  /** Schedules it, or moves it earlier, never later: waking too early is harmless. */
  hasten(item: T, at: Instant | undefined): void {
    if (at !== undefined && (item.slot < 0 || at < item.due)) this.schedule(item, at)
  }

  /** As `TunnelEndpoint.expire`. */
  expire(now: Instant): void {
    for (let due = this.takeDue(now); due !== undefined; due = this.takeDue(now)) due.expire(now)
  }

  /** As `TunnelEndpoint.deadline`. */
  deadline(): Deadline | undefined {
    const earliest = this.earliest
    if (earliest === undefined) return undefined
    // Asked after every packet: a new object only where the answer is a new one.
    if (this.#deadline?.at !== earliest.due) this.#deadline = { at: earliest.due, why: earliest.why }
    return this.#deadline
  }
}

/** `at`, but never `now` again: what could not be done now is not to be tried in a circle. */
export const laterThan = (now: Instant, at: Instant): Instant => (at > now ? at : after(now, milliseconds(1)))

/** The earliest of those timers that are set; of two at once the one that is named first. */
export function firstOf(timers: readonly (readonly [at: Instant | undefined, why: string])[]): Deadline | undefined {
  let first: Deadline | undefined
  for (const [at, why] of timers) if (at !== undefined && (first === undefined || at < first.at)) first = { at, why }
  return first
}
