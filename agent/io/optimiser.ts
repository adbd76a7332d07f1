import { setFlagsFromString } from 'node:v8'
import type { Clock, Instant } from '#shared/time/instant.ts'

/** Datagrams from one look at the clock to the next. */
const LOOK_EVERY = 512

/** Datagrams a second, both ways together, that an agent may carry for ever without being called busy: 5 Mbit/s. */
const FREE_RATE = 500

/** Datagrams beyond that rate that are worth the compiler: some 10 MB of a copy. */
const WORTH = 8_192

export interface OptimiserPorts {
  readonly clock: Pick<Clock, 'now'>
  /** Called once. */
  begin(): void
}

/**
 * Keeps V8's optimising compiler away until there is work for it. Readings and a shell run well without; whoever copies files wants it, and has
 * it after some megabytes. Its own code and what it makes would be 6 MB of an agent, and a part that grows by the hour. Judged by what is
 * carried and not by the time that this takes, so that a busy or slow machine changes nothing.
 */
export class Optimiser {
  readonly #ports: OptimiserPorts
  #left = LOOK_EVERY
  #at: Instant
  #beyond = 0

  constructor(ports: OptimiserPorts) {
    this.#ports = ports
    this.#at = ports.clock.now()
  }

  /** On each datagram of the tunnel, whichever way it goes. */
  datagram(): void {
    this.#left -= 1
    if (this.#left === 0) this.#look()
  }

  #look(): void {
    const now = this.#ports.clock.now()
    this.#beyond = Math.max(0, this.#beyond + LOOK_EVERY - ((now - this.#at) / 1_000) * FREE_RATE)
    this.#at = now
    if (this.#beyond < WORTH) this.#left = LOOK_EVERY
    else this.#ports.begin()
  }
}

/** The compiler that `small-heap.ts` has begun without; the one in between stays away. V8 looks at it whenever it finds a function hot. */
export const beginOptimising = (): void => setFlagsFromString('--opt')
