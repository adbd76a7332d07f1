/** Numbers from 0 to `count` - 1, each of which belongs to one holder at a time. */
export class Slots {
  readonly #count: number
  readonly #free: number[] = []
  #unused = 0

  constructor(count: number) {
    this.#count = count
  }

  /** One that is nobody's; undefined where all are taken. */
  take(): number | undefined {
    return this.#free.pop() ?? (this.#unused < this.#count ? this.#unused++ : undefined)
  }

  give(slot: number): void {
    this.#free.push(slot)
  }
}
