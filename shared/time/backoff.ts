import { type Duration, milliseconds } from './instant.ts'

/** A number in [0, 1). Cores get theirs from the crypto port: `uniform((n) => suite.random(n))`. */
export type Dice = () => number

/** Dice out of a source of random bytes, of which 64 throws are drawn at a time: associations throw one for nearly each packet. */
export function uniform(random: (length: number) => Uint8Array): Dice {
  let bytes: Uint8Array = new Uint8Array(0)
  let at = 0
  return () => {
    if (at === bytes.length) {
      bytes = random(256)
      at = 0
    }
    at += 4
    return (bytes[at - 4]! * 0x100_0000 + bytes[at - 3]! * 0x1_0000 + bytes[at - 2]! * 0x100 + bytes[at - 1]!) / 0x1_0000_0000
  }
}

export interface BackoffOptions {
  /** The shortest wait, and the first one's lower end. */
  readonly base: Duration
  /** No wait is longer. */
  readonly cap: Duration
  /** How much longer than its predecessor a wait may be; default 3. */
  readonly growth?: number
}

/**
 * Decorrelated jitter: each wait is drawn between `base` and `growth` times the last one, never above `cap`, so that a fleet that
 * lost its broker in one moment does not come back in one.
 */
export class Backoff {
  readonly #base: number
  readonly #cap: number
  readonly #growth: number
  readonly #dice: Dice
  #last: number

  constructor({ base, cap, growth = 3 }: BackoffOptions, dice: Dice) {
    if (!(base > 0 && cap >= base && growth > 1)) throw new RangeError('a backoff needs 0 < base <= cap and growth > 1')
    this.#base = base
    this.#cap = cap
    this.#growth = growth
    this.#dice = dice
    this.#last = base
  }

  /** How long to wait before the next attempt. */
  next(): Duration {
    const widest = Math.min(this.#cap, this.#last * this.#growth)
    this.#last = this.#base + this.#dice() * (widest - this.#base)
    return milliseconds(this.#last)
  }

  /** After a success that has lasted. */
  reset(): void {
    this.#last = this.#base
  }
}
