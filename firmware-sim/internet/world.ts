import { Deadlines, type Timed } from '#shared/time/deadlines.ts'
import { after, type Clock, type Duration, type Instant, instant, type WallTime, wallTime } from '#shared/time/instant.ts'
import { SeededRandom } from '#sim/seeded-random.ts'

/** Whoever has something to do at a time of its own: a wire with packets under way, a host with a core. */
export interface Actor extends Timed {
  act(now: Instant): void
}

/** Work at one moment more than this is a loop that never lets time pass. */
const turnsAtOnce = 100_000

/** Virtual time: nothing happens but what an actor does when its moment has come. One seed, one history. */
export class World implements Clock {
  readonly random: SeededRandom
  /** What the wall clock shows beyond the monotonic one, ms. */
  wallOffset = 1_780_000_000_000
  readonly #actors = new Deadlines<Actor>()
  #now: Instant = instant(1_000)

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
  }

  now(): Instant {
    return this.#now
  }

  wall(): WallTime {
    return wallTime(this.wallOffset + this.#now)
  }

  schedule(actor: Actor, at: Instant): void {
    this.#actors.schedule(actor, at < this.#now ? this.#now : at)
  }

  cancel(actor: Actor): void {
    this.#actors.cancel(actor)
  }

  /** Does `work` once, `span` from now. */
  later(span: Duration, work: () => void): void {
    this.schedule({ due: this.#now, slot: -1, act: work }, after(this.#now, span))
  }

  /** Lets time pass, or less where `until` holds earlier. Returns whether it holds. */
  run(span: Duration, until: () => boolean = () => false): boolean {
    const end = after(this.#now, span)
    let turns = 0
    while (!until()) {
      const next = this.#actors.earliest
      if (next === undefined || next.due > end) {
        this.#now = end
        return until()
      }
      turns = next.due > this.#now ? 0 : turns + 1
      if (turns > turnsAtOnce) throw new Error(`time stands still at ${this.#now}`)
      this.#now = next.due
      this.#actors.cancel(next)
      next.act(this.#now)
    }
    return true
  }
}
