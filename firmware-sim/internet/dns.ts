import { milliseconds } from '#shared/time/instant.ts'
import type { World } from '#sim/internet/world.ts'

export type DnsOutcome = { kind: 'answered'; addresses: readonly string[] } | { kind: 'not-found' | 'failed' | 'silent' }

/** What a name server of a network does: tells the truth, lies, is slow, knows nothing, or is not there. */
export class Dns {
  state: 'works' | 'failed' | 'silent' = 'works'
  delayMs = 20
  readonly records = new Map<string, readonly string[]>()
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** `done` is called once, unless nobody answers. */
  resolve(name: string, done: (outcome: DnsOutcome) => void): void {
    if (this.state === 'silent') return
    const addresses = this.records.get(name)
    const known: DnsOutcome = addresses === undefined ? { kind: 'not-found' } : { kind: 'answered', addresses }
    this.#world.later(milliseconds(this.delayMs), () => done(this.state === 'failed' ? { kind: 'failed' } : known))
  }
}
