import type { SharedNumber } from './shared-number.ts'

/** How far the numbers of the packets of one key go. Bounds are numbers of 64 bits in two unsigned words. */
export interface NumberSpace {
  readonly first: 0 | 1
  /** Once this one is taken, another key is asked for. */
  readonly softHigh: number
  readonly softLow: number
  /** The last one: no packet is sealed after it. */
  readonly lastHigh: number
  readonly lastLow: number
}

/**
 * The numbers by which one end numbers the packets of one key. They are nonces: they only grow, in memory alone, and end before they wrap
 * . Kept as two unsigned 32-bit words, since a JS number is exact to 2^53 only. Where a data lane seals under the same key, both
 * take them from one `SharedNumber`.
 */
export class PacketNumber {
  readonly #space: NumberSpace
  /** The one taken last; before the first packet the one before it, which is -1 (in the high word) where they begin with 0. */
  #high: number
  #low: number
  #shared: SharedNumber | undefined

  constructor(space: NumberSpace) {
    this.#space = space
    this.#high = space.first === 0 ? -1 : 0
    this.#low = space.first === 0 ? 0xffff_ffff : 0
  }

  /** The number that `take` took last. */
  get high(): number {
    return this.#high
  }

  get low(): number {
    return this.#low
  }

  get isExhausted(): boolean {
    if (this.#shared !== undefined) return this.#shared.isExhausted
    const { lastHigh, lastLow } = this.#space
    return this.#high > lastHigh || (this.#high === lastHigh && this.#low >= lastLow)
  }

  /** Whether so many have been taken that another key should be there soon. */
  get isDueForRekey(): boolean {
    if (this.#shared !== undefined) return this.#shared.isDueForRekey
    const { softHigh, softLow } = this.#space
    return this.#high > softHigh || (this.#high === softHigh && this.#low >= softLow)
  }

  /** Takes the next number, which `high` and `low` are then. False: there is none, and no packet may be sealed. */
  take(): boolean {
    if (this.#shared !== undefined) return this.#takeShared(this.#shared)
    if (this.isExhausted) return false
    if (this.#low === 0xffff_ffff) {
      this.#low = 0
      this.#high++
    } else this.#low++
    return true
  }

  /** From now on numbers come from `shared`, which begins with the first one. Throws RangeError where one has been taken already. */
  share(shared: SharedNumber): void {
    const { first } = this.#space
    const isUntouched = first === 0 ? this.#high < 0 : this.#high === 0 && this.#low === 0
    if (!isUntouched || this.#shared !== undefined || shared.next !== first)
      throw new RangeError('packet numbers are shared from the first one on')
    this.#shared = shared
  }

  /** Goes on after another number: for tests near the limits, and never backwards. */
  skipTo(high: number, low: number): void {
    if (this.#shared !== undefined || high < this.#high || (high === this.#high && low < this.#low))
      throw new RangeError('a packet number never goes back')
    this.#high = high
    this.#low = low
  }

  #takeShared(shared: SharedNumber): boolean {
    const number = shared.take()
    if (number < 0) return false
    this.#high = 0
    this.#low = number
    return true
  }
}
