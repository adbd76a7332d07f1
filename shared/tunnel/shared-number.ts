/** Numbers are asked to be replaced by those of another key once so many are taken. */
const SOFT_LIMIT = 2 ** 31
/** Numbers that one call may take. */
const MOST_AT_ONCE = 2 ** 16
/**
 * No number is given out from here on. Threads that ask at the same moment may each overshoot by one call, and that by far does not reach
 * 2^32, where they would begin anew.
 */
const LIMIT = 2 ** 32 - 2 ** 24

/**
 * Numbers of the packets of one key that several threads seal with: one 32-bit word of memory that all of them see holds the next number,
 * and is only ever added to. Whoever takes numbers has them for himself, in use or not: each is given out once. The high word of
 * the number on the wire is 0.
 */
export class SharedNumber {
  readonly #words: Int32Array | Uint32Array
  readonly #at: number

  /** `words[at]` holds the number of the first packet (`LaneSession.firstNumber`) when the first of its users comes. */
  constructor(words: Int32Array | Uint32Array, at: number) {
    if (!Number.isInteger(at) || at < 0 || at >= words.length) throw new RangeError('a shared number has a word of its own')
    this.#words = words
    this.#at = at
  }

  /** The number that nobody has taken yet. */
  get next(): number {
    return Atomics.load(this.#words, this.#at) >>> 0
  }

  get isExhausted(): boolean {
    return this.next >= LIMIT
  }

  get isDueForRekey(): boolean {
    return this.next >= SOFT_LIMIT
  }

  /** Takes `count` numbers, 1 to 65,536, and returns the first of them; -1: there are none, and no packet may be sealed. */
  take(count = 1): number {
    if (!(count >= 1 && count <= MOST_AT_ONCE)) throw new RangeError('1 to 65536 numbers are taken at once')
    // Looked at before anything is added: who goes on asking in vain never brings the word nearer to its end.
    if (this.next > LIMIT - count) return -1
    return Atomics.add(this.#words, this.#at, count) >>> 0
  }
}
