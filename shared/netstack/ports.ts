import type { Suite } from '#shared/crypto/suite.ts'

/** First and last ephemeral port (RFC 6056 §3.2 advises the whole of 1024 up; below lie services of ours and of others). */
const FIRST_EPHEMERAL = 32_768
const LAST_EPHEMERAL = 65_535

/** Bytes of randomness drawn at once: a port takes two. */
const POOL = 256

/** Ephemeral ports that cannot be guessed (RFC 6056 §3.3.1: a random start, then the next that is free). */
export class Ports {
  readonly #suite: Suite
  #pool: Uint8Array = new Uint8Array(0)
  #at = 0

  constructor(suite: Suite) {
    this.#suite = suite
  }

  /** A free port, or undefined. The second round of asking allows `reuse` of what is nearly free. */
  choose(isFree: (port: number, reuse: boolean) => boolean): number | undefined {
    const count = LAST_EPHEMERAL - FIRST_EPHEMERAL + 1
    const start = this.#random16() % count
    for (const reuse of [false, true]) {
      for (let i = 0; i < count; i++) {
        const port = FIRST_EPHEMERAL + ((start + i) % count)
        if (isFree(port, reuse)) return port
      }
    }
    return undefined
  }

  #random16(): number {
    if (this.#at + 2 > this.#pool.length) {
      this.#pool = this.#suite.random(POOL)
      this.#at = 0
    }
    const value = (this.#pool[this.#at]! << 8) | this.#pool[this.#at + 1]!
    this.#at += 2
    return value
  }
}
