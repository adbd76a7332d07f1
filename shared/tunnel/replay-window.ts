import { REPLAY_WINDOW } from './wireguard-constants.ts'

/** Bits of one word of the ring. */
const WORD = 32
/** Words that a new window begins with: sessions of idle peers hardly ever need more. */
const FIRST_WORDS = 4

/**
 * RFC 6479: which counters have come already, in constant time and without shifting. A ring of words, one word more than the window
 * needs, so that moving on clears whole words.
 *
 *   accepted:  highest - size <= counter < limit, and not seen before
 *
 * Counters are 64-bit, as two unsigned 32-bit words: a JS number is exact to 2^53 only, and 32-bit arithmetic has cost others whole
 * windows. While the highest counter still fits in fewer words, only those exist: the ring doubles as it fills, so ten thousand idle
 * sessions keep 16 bytes each, not 1028. Ask `isFresh` before decryption, `mark` after authentication.
 */
export class ReplayWindow {
  readonly #size: number
  readonly #words: number
  readonly #limitHigh: number
  readonly #limitLow: number
  /** bit (counter mod 32) of word (counter div 32) mod words. */
  #ring: Uint32Array | undefined
  /** The highest counter marked; -1 in the high word: none yet. */
  #high = -1
  #low = 0

  /** `size` >= 32: how far behind the highest a counter may be. Counters from `limit` on are never fresh. */
  constructor(size: number = REPLAY_WINDOW, limitHigh = 0xffff_ffff, limitLow: number = 2 ** 32 - size - 1) {
    if (!Number.isInteger(size) || size < WORD || size > 2 ** 20) throw new RangeError('a replay window has 32 to 2^20 counters')
    this.#size = size
    this.#words = Math.ceil(size / WORD) + 1
    this.#limitHigh = limitHigh
    this.#limitLow = limitLow
  }

  /** Whether the counter may be taken: neither seen, nor too old, nor at the limit. */
  isFresh(high: number, low: number): boolean {
    if (high > this.#limitHigh || (high === this.#limitHigh && low >= this.#limitLow)) return false
    const ahead = this.#ahead(high, low)
    if (ahead > 0) return true
    if (ahead < -this.#size) return false
    const ring = this.#ring!
    return (ring[this.#slot(high, low)]! & (1 << (low & 31))) === 0
  }

  /** Marks a fresh counter as seen; true where it is the newest so far. */
  mark(high: number, low: number): boolean {
    const newest = this.#ahead(high, low) > 0
    if (newest) this.#advance(high, low)
    const slot = this.#slot(high, low)
    const ring = this.#ring!
    ring[slot] = (ring[slot]! | (1 << (low & 31))) >>> 0
    return newest
  }

  /** Both at once, for callers that have authenticated already. */
  accept(high: number, low: number): boolean {
    if (!this.isFresh(high, low)) return false
    this.mark(high, low)
    return true
  }

  /** The highest counter marked, in two words; 0 before the first. */
  get highestHigh(): number {
    return this.#high < 0 ? 0 : this.#high
  }

  get highestLow(): number {
    return this.#low
  }

  /** Bytes that the ring takes now. */
  get bytes(): number {
    return this.#ring?.byteLength ?? 0
  }

  /**
   * Counters from the highest to this one. Inexact beyond 2^53, but then far outside any window either way: the high words differ
   * by at least 2, so the magnitude is above 2^32.
   */
  #ahead(high: number, low: number): number {
    if (this.#high < 0) return 1
    return (high - this.#high) * 0x1_0000_0000 + (low - this.#low)
  }

  /** (counter div 32) mod words, in exact arithmetic: 2^27 words to each step of the high word. */
  #slot(high: number, low: number): number {
    return ((high % this.#words) * (0x800_0000 % this.#words) + (low >>> 5)) % this.#words
  }

  #advance(high: number, low: number): void {
    const ring = this.#ringFor(high, low)
    if (this.#high >= 0) this.#clearBetween(ring, high, low)
    this.#high = high
    this.#low = low
  }

  /** Clears the words after the highest one's up to that of the new highest, each once at most. */
  #clearBetween(ring: Uint32Array, high: number, low: number): void {
    const wordsOn = (high - this.#high) * 0x800_0000 + ((low >>> 5) - (this.#low >>> 5))
    const count = Math.min(wordsOn, this.#words)
    let slot = this.#slot(this.#high, this.#low)
    for (let i = 0; i < count; i++) {
      slot = slot + 1 === this.#words ? 0 : slot + 1
      if (slot < ring.length) ring[slot] = 0
    }
  }

  /** Makes room for the counter: while it lies below the full ring's length, slots equal word numbers and a prefix will do. */
  #ringFor(high: number, low: number): Uint32Array {
    const needed = high === 0 ? Math.min((low >>> 5) + 1, this.#words) : this.#words
    const ring = this.#ring
    if (ring !== undefined && ring.length >= needed) return ring
    let words = Math.max(ring?.length ?? 0, Math.min(FIRST_WORDS, this.#words))
    while (words < needed) words = Math.min(words * 2, this.#words)
    const grown = new Uint32Array(words)
    if (ring !== undefined) grown.set(ring)
    this.#ring = grown
    return grown
  }
}
