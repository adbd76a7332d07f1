/** What stands in a ChainedTable, and only in one. */
export interface Chained<T> {
  readonly hash: number
  /** The next one of the same bucket. */
  next: T | undefined
}

const LEAST_BUCKETS = 64

/**
 * A hash table whose entries carry their own links, so that looking one up makes no object: ask for the `first` of a hash and walk `next`,
 * comparing whatever makes an entry the wanted one. Buckets double as it fills.
 */
export class ChainedTable<T extends Chained<T>> {
  #buckets: (T | undefined)[] = new Array(LEAST_BUCKETS).fill(undefined)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Where entries of this hash begin; others may stand among them. */
  first(hash: number): T | undefined {
    return this.#buckets[hash & (this.#buckets.length - 1)]
  }

  add(entry: T): void {
    if (this.#size >= this.#buckets.length) this.#grow()
    this.#link(entry)
    this.#size++
  }

  /** False where it does not stand here. */
  remove(entry: T): boolean {
    const at = entry.hash & (this.#buckets.length - 1)
    let before = this.#buckets[at]
    if (before === entry) this.#buckets[at] = entry.next
    else {
      while (before !== undefined && before.next !== entry) before = before.next
      if (before === undefined) return false
      before.next = entry.next
    }
    this.#size--
    return true
  }

  /** Whoever walks may remove the entry that he has been given. */
  *[Symbol.iterator](): Iterator<T> {
    for (const head of this.#buckets) {
      for (let entry = head; entry !== undefined; ) {
        const next: T | undefined = entry.next
        yield entry
        entry = next
      }
    }
  }

  #link(entry: T): void {
    const at = entry.hash & (this.#buckets.length - 1)
    entry.next = this.#buckets[at]
    this.#buckets[at] = entry
  }

  #grow(): void {
    const entries = [...this]
    this.#buckets = new Array(this.#buckets.length * 2).fill(undefined)
    for (const entry of entries) this.#link(entry)
  }
}
