import type { Suite } from '#shared/crypto/suite.ts'

/** SPIs promised to peers in exchanges that may yet come to nothing; the oldest promises are forgotten first. */
const MAX_RESERVED = 4_096

/**
 * Inbound SPIs: random, so that a stranger cannot guess one, unique, and with the top bit set, which tells ESP from everything
 * else on the port (DESIGN D2). One that was drawn stays reserved until its Child SA is there. Keys are kept as signed 32-bit numbers,
 * which need no memory of their own in a Map.
 */
export class SpiTable<T> {
  readonly #suite: Pick<Suite, 'random'>
  readonly #bySpi = new Map<number, T>()
  readonly #reserved = new Set<number>()

  constructor(suite: Pick<Suite, 'random'>) {
    this.#suite = suite
  }

  get size(): number {
    return this.#bySpi.size
  }

  /** Promised and not yet installed. */
  get reserved(): number {
    return this.#reserved.size
  }

  /** An SPI that nobody has and that suits. */
  reserve(suits: (spi: number) => boolean = () => true): number {
    for (;;) {
      const bytes = this.#suite.random(4)
      const spi = ((bytes[0]! | 0x80) << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!
      if (this.#bySpi.has(spi) || this.#reserved.has(spi) || !suits(spi >>> 0)) continue
      this.#reserved.add(spi)
      if (this.#reserved.size > MAX_RESERVED) this.#reserved.delete(this.#reserved.values().next().value!)
      return spi >>> 0
    }
  }

  put(spi: number, owner: T): void {
    this.#reserved.delete(spi | 0)
    this.#bySpi.set(spi | 0, owner)
  }

  get(spi: number): T | undefined {
    return this.#bySpi.get(spi | 0)
  }

  /** The promise came to nothing. */
  unreserve(spi: number): void {
    this.#reserved.delete(spi | 0)
  }

  /** Its Child SA has gone. */
  release(spi: number): void {
    this.#bySpi.delete(spi | 0)
  }
}
