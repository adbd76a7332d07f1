import type { Suite } from '#shared/crypto/suite.ts'

/** First and last ephemeral port (RFC 6056 §3.2 advises the whole of 1024 up; below lie services of ours and of others). */
const FIRST_EPHEMERAL = 32_768
const LAST_EPHEMERAL = 65_535
/** The first one that Linux leaves alone unless it is told otherwise (net.ipv4.ip_local_port_range). */
const FIRST_BESIDE_KERNEL = 61_000

/** Bytes of randomness drawn at once: a port takes two. */
const POOL = 256

/** Ephemeral ports that cannot be guessed (RFC 6056 §3.3.1: a random start, then the next that is free). */
export class Ports {
  readonly #suite: Suite
  readonly #first: number
  #pool: Uint8Array = new Uint8Array(0)
  #at = 0

  /** `besideKernel`: a kernel has the same address, and ports of its own. */
  constructor(suite: Suite, besideKernel = false) {
    this.#suite = suite
    this.#first = besideKernel ? FIRST_BESIDE_KERNEL : FIRST_EPHEMERAL
  }

  /** Whether it may be one that `choose` has chosen. */
  includes(port: number): boolean {
    return port >= this.#first
  }

  /** A free port, or undefined. The second round of asking allows `reuse` of what is nearly free. */
  choose(isFree: (port: number, reuse: boolean) => boolean): number | undefined {
    const count = LAST_EPHEMERAL - this.#first + 1
    const start = this.#random16() % count
    for (const reuse of [false, true]) {
      for (let i = 0; i < count; i++) {
        const port = this.#first + ((start + i) % count)
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
