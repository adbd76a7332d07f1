import type { Suite } from '#shared/crypto/suite.ts'

/**
 * Receiver indices of handshakes and sessions: random, so that a stranger cannot guess one, and unique. Keys are kept as
 * signed 32-bit numbers, which need no memory of their own in a Map.
 */
export class IndexTable<T> {
  readonly #suite: Pick<Suite, 'random'>
  readonly #byIndex = new Map<number, T>()

  constructor(suite: Pick<Suite, 'random'>) {
    this.#suite = suite
  }

  get size(): number {
    return this.#byIndex.size
  }

  /** An index that nobody has and that suits; it is taken by `put`. */
  pick(suits: (index: number) => boolean = () => true): number {
    for (;;) {
      const bytes = this.#suite.random(4)
      const index = bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24) | 0
      if (!this.#byIndex.has(index) && suits(index >>> 0)) return index >>> 0
    }
  }

  put(index: number, owner: T): void {
    this.#byIndex.set(index | 0, owner)
  }

  get(index: number): T | undefined {
    return this.#byIndex.get(index | 0)
  }

  release(index: number): void {
    this.#byIndex.delete(index | 0)
  }
}
