/**
 * Group commit: items that come while a commit is under way share the next one. Under load the disk's own pace sets the size of the
 * groups, without a timer; an item alone waits for nothing but its own commit.
 */
export interface CommitBatcherOptions<Item, Result> {
  /** Writes the items in one transaction and gives a result for each, in order. */
  write(items: readonly Item[]): Promise<readonly Result[]>
  /** Most weight in one transaction. */
  maxWeight: number
}

export class CommitBatcher<Item, Result> {
  readonly #options: CommitBatcherOptions<Item, Result>
  #waiting: Entry<Item, Result>[] = []
  #writing: Promise<void> | undefined

  constructor(options: CommitBatcherOptions<Item, Result>) {
    this.#options = options
  }

  /** Whether nothing waits and nothing is under way. */
  get idle(): boolean {
    return this.#writing === undefined
  }

  /** Resolves after the commit that holds the item; rejects with the error that its whole group met. */
  add(item: Item, weight = 1): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, weight, resolve, reject })
      this.#writing ??= this.#run()
    })
  }

  /** Resolves when nothing waits any more. */
  async drained(): Promise<void> {
    while (this.#writing) await this.#writing
  }

  async #run(): Promise<void> {
    // One turn of the event loop: whatever one burst of packets brings goes into one commit.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0) await this.#commit(this.#take())
    this.#writing = undefined
  }

  async #commit(group: readonly Entry<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#options.write(group.map(({ item }) => item))
      for (const [at, entry] of group.entries()) entry.resolve(results[at] as Result)
    } catch (error) {
      for (const entry of group) entry.reject(error)
    }
  }

  #take(): Entry<Item, Result>[] {
    let weight = 0
    let count = 0
    for (const entry of this.#waiting) {
      weight += entry.weight
      if (count > 0 && weight > this.#options.maxWeight) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }
}

interface Entry<Item, Result> {
  readonly item: Item
  readonly weight: number
  resolve(result: Result): void
  reject(error: unknown): void
}
