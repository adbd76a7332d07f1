import type { Suite } from '#shared/crypto/suite.ts'
import { ikeSpiOf } from '#shared/ikev2/spi.ts'

/** Our SPIs of IKE SAs: 64 random bits, never 0 (RFC 7296 §3.1), unique. One IKE SA has two of them for a while after a rekey. */
export class IkeSpiTable<T> {
  readonly #suite: Pick<Suite, 'random'>
  readonly #bySpi = new Map<bigint, T>()

  constructor(suite: Pick<Suite, 'random'>) {
    this.#suite = suite
  }

  get size(): number {
    return this.#bySpi.size
  }

  /** An SPI that nobody has; it is taken by `index`. */
  pick(): bigint {
    for (;;) {
      const spi = ikeSpiOf(this.#suite.random(8))
      if (spi !== undefined && !this.#bySpi.has(spi)) return spi
    }
  }

  get(spi: bigint): T | undefined {
    return this.#bySpi.get(spi)
  }

  /** `owner` goes from the SPIs that it was found by to others. */
  index(owner: T, before: readonly bigint[], spis: readonly bigint[]): void {
    for (const spi of before) this.#bySpi.delete(spi)
    for (const spi of spis) this.#bySpi.set(spi, owner)
  }
}
