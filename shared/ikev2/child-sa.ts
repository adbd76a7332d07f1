import type { Instant } from '#shared/time/instant.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'

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

  /** It is not on its way out. */
  get lasts(): boolean {
    return this.standing === 'live' || this.standing === 'rekeying'
  }
}

/** The Child SAs of one association, oldest first. */
export class ChildTable {
  readonly #children = new Map<number, ChildSa>()

  get spis(): readonly number[] {
    return [...this.#children.keys()]
  }

  /** Those that are not on their way out. */
  get lasting(): readonly ChildSa[] {
    return [...this.#children.values()].filter(({ lasts }) => lasts)
  }

  inbound(spi: number): ChildSa | undefined {
    return this.#children.get(spi)
  }

  /** Whether it is still there, and no other one under its SPI. */
  has(child: ChildSa): boolean {
    return this.#children.get(child.inboundSpi) === child
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
