import { nativeSuite } from '#shared/crypto/native.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import type { NetstackOptions } from '#shared/netstack/options.ts'
import { type Clock, type Instant, instant, wallTime } from '#shared/time/instant.ts'

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The native suite with randomness from a seed, so that one seed gives one history. */
export function seededSuite(random: () => number): Suite {
  return { ...nativeSuite, random: (length: number) => Uint8Array.from({ length }, () => Math.floor(random() * 256)) }
}

export interface LinkFaults {
  /** One way, ms. */
  delay: number
  /** Added at random up to this, ms: packets overtake one another. */
  jitter: number
  /** Probabilities. */
  loss: number
  duplicate: number
  /** Sees every packet before it is sent; false drops it. */
  tap?: (packet: Uint8Array, from: 'a' | 'b') => boolean
}

interface Event {
  at: number
  order: number
  run: () => void
}

/** Two stacks and a link of chosen quality between them, in virtual time. */
export class VirtualNet implements Clock {
  readonly random: () => number
  readonly a: Netstack
  readonly b: Netstack
  faults: LinkFaults
  packets = 0
  #now = 1_000
  #order = 0
  #events: Event[] = []

  constructor(
    seed: number,
    faults: Partial<LinkFaults> = {},
    options: { a?: Partial<NetstackOptions>; b?: Partial<NetstackOptions> } = {},
  ) {
    this.random = seeded(seed)
    this.faults = { delay: 5, jitter: 0, loss: 0, duplicate: 0, ...faults }
    const suite = seededSuite(this.random)
    const common = { suite, clock: this }
    this.a = new Netstack({
      ...common,
      addresses: ['fd00::a', '10.0.0.1'],
      transmit: (packet) => this.#carry(packet, 'a'),
      ...options.a,
    })
    this.b = new Netstack({
      ...common,
      addresses: ['fd00::b', '10.0.0.2'],
      transmit: (packet) => this.#carry(packet, 'b'),
      ...options.b,
    })
  }

  now(): Instant {
    return instant(this.#now)
  }

  wall() {
    return wallTime(this.#now)
  }

  at(delay: number, run: () => void): void {
    this.#insert({ at: this.#now + delay, order: this.#order++, run })
  }

  /** Runs until `done` or until `limit` ms have passed; Node's own ticks run between events, so that streams can work. Returns whether done. */
  async run(done: () => boolean, limit = 600_000): Promise<boolean> {
    const end = this.#now + limit
    await tick()
    while (!done()) {
      const next = this.#events[0]?.at ?? Number.POSITIVE_INFINITY
      const timer = Math.min(this.a.deadline()?.at ?? Number.POSITIVE_INFINITY, this.b.deadline()?.at ?? Number.POSITIVE_INFINITY)
      const at = Math.max(this.#now, Math.min(next, timer))
      if (at > end) {
        this.#now = end
        return done()
      }
      this.#now = at
      if (next <= timer) {
        this.#events.shift()!.run()
      } else {
        if ((this.a.deadline()?.at ?? Number.POSITIVE_INFINITY) <= at) this.a.expire(instant(at))
        if ((this.b.deadline()?.at ?? Number.POSITIVE_INFINITY) <= at) this.b.expire(instant(at))
      }
      await tick()
    }
    return true
  }

  /** Lets `ms` pass. */
  async pass(ms: number): Promise<void> {
    await this.run(() => false, ms)
  }

  #carry(packet: Uint8Array, from: 'a' | 'b'): void {
    this.packets++
    const { delay, jitter, loss, duplicate, tap } = this.faults
    const copy = Uint8Array.from(packet)
    if (tap !== undefined && !tap(copy, from)) return
    const to = from === 'a' ? this.b : this.a
    if (this.random() < loss) return
    for (let i = this.random() < duplicate ? 2 : 1; i > 0; i--) this.at(delay + this.random() * jitter, () => to.input(copy))
  }

  #insert(event: Event): void {
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.#events[middle]!
      if (other.at < event.at || (other.at === event.at && other.order < event.order)) low = middle + 1
      else high = middle
    }
    this.#events.splice(low, 0, event)
  }
}

/** Lets Node's streams do what they put off. */
const tick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))
