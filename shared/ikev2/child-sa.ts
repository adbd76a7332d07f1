import type { Instant } from '#shared/time/instant.ts'
import type { Proposal, TrafficSelector } from '#shared/wire/ike-payload/payload.ts'

/**
 *   live ──> rekeying: our request to replace it is under way
 *       └──> replaced: the peer's rekey has made its successor; the peer is to delete it
 *       └──> closing: our delete waits or is under way
 */
export type ChildStanding = 'live' | 'rekeying' | 'replaced' | 'closing'

export interface ChildFacts {
  /** The peer sends with this one; it is our choice. */
  readonly inboundSpi: number
  readonly outboundSpi: number
  /** Whether we began the exchange that made it. */
  readonly initiator: boolean
  /** What was agreed on, one transform a type. */
  readonly algorithms: Proposal
  readonly localSelectors: readonly TrafficSelector[]
  readonly remoteSelectors: readonly TrafficSelector[]
}

/** A Child SA as the IKE SA keeps it; its keys are with the data path. */
export class ChildSa {
  readonly facts: ChildFacts
  /** When it was installed. */
  bornAt: Instant | undefined
  standing: ChildStanding = 'live'
  /** Whether the data path has been told to send with it. */
  inUse = false
  /** The one that takes its place. */
  successor: ChildSa | undefined

  constructor(facts: ChildFacts) {
    this.facts = facts
  }

  get inboundSpi(): number {
    return this.facts.inboundSpi
  }
}

/** The Child SAs of one association, oldest first. */
export class ChildTable {
  readonly #children = new Map<number, ChildSa>()

  get size(): number {
    return this.#children.size
  }

  get spis(): readonly number[] {
    return [...this.#children.keys()]
  }

  /** Those that are not on their way out. */
  get lasting(): readonly ChildSa[] {
    return [...this.#children.values()].filter(({ standing }) => standing === 'live' || standing === 'rekeying')
  }

  inbound(spi: number): ChildSa | undefined {
    return this.#children.get(spi)
  }

  /** By the SPI that the peer chose. */
  outbound(spi: number): ChildSa | undefined {
    for (const child of this.#children.values()) if (child.facts.outboundSpi === spi) return child
    return undefined
  }

  add(child: ChildSa): void {
    this.#children.set(child.inboundSpi, child)
  }

  remove(child: ChildSa): boolean {
    return this.#children.delete(child.inboundSpi)
  }

  *[Symbol.iterator](): Iterator<ChildSa> {
    yield* [...this.#children.values()]
  }
}
