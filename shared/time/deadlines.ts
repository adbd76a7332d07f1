import type { Instant } from './instant.ts'

/** What a `Deadlines` holds: the two fields are its own, so that ten thousand timers need no objects beside their owners. */
export interface Timed {
  /** When it is due; meaningful while `slot` >= 0. */
  due: Instant
  /** Place in the heap; -1: not scheduled. */
  slot: number
}

/** A binary heap of items by due time. Moving, taking and adding cost log n; looking at the earliest costs nothing. */
export class Deadlines<T extends Timed> {
  readonly #heap: T[] = []

  get size(): number {
    return this.#heap.length
  }

  /** The item that is due first. */
  get earliest(): T | undefined {
    return this.#heap[0]
  }

  /** Adds an item, or moves it to another time. */
  schedule(item: T, at: Instant): void {
    if (item.slot < 0) {
      item.due = at
      item.slot = this.#heap.length
      this.#heap.push(item)
      this.#rise(item)
    } else if (at < item.due) {
      item.due = at
      this.#rise(item)
    } else if (at > item.due) {
      item.due = at
      this.#sink(item)
    }
  }

  cancel(item: T): void {
    const slot = item.slot
    if (slot < 0) return
    const last = this.#heap.pop()!
    item.slot = -1
    if (last === item) return
    last.slot = slot
    this.#heap[slot] = last
    this.#rise(last)
    this.#sink(last)
  }

  /** Takes the earliest item if it is due at `now`. */
  takeDue(now: Instant): T | undefined {
    const first = this.#heap[0]
    if (first === undefined || first.due > now) return undefined
    this.cancel(first)
    return first
  }

  #rise(item: T): void {
    const heap = this.#heap
    let slot = item.slot
    while (slot > 0) {
      const above = (slot - 1) >> 1
      const parent = heap[above]!
      if (parent.due <= item.due) break
      heap[slot] = parent
      parent.slot = slot
      slot = above
    }
    heap[slot] = item
    item.slot = slot
  }

  #sink(item: T): void {
    const heap = this.#heap
    let slot = item.slot
    for (;;) {
      let below = slot * 2 + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && heap[below + 1]!.due < heap[below]!.due) below++
      const child = heap[below]!
      if (child.due >= item.due) break
      heap[slot] = child
      child.slot = slot
      slot = below
    }
    heap[slot] = item
    item.slot = slot
  }
}
