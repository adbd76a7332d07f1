import type { Suite } from '#shared/crypto/suite.ts'

/** Bytes of the secret that one stack keys its numbers with. */
const SECRET_LENGTH = 32

/**
 * Initial sequence numbers after RFC 6528: a keyed hash of the four-tuple plus a clock of 4 µs, so that nobody outside can guess them, and one
 * tuple used again continues above its last use. The same hash gives each tuple its timestamp offset (RFC 7323 §5.4).
 */
export class InitialSequence {
  readonly #suite: Suite
  readonly #secret: Uint8Array
  readonly #input = new Uint8Array(4 + 32)

  constructor(suite: Suite) {
    this.#suite = suite
    this.#secret = suite.random(SECRET_LENGTH)
  }

  /** `number` and `timestampOffset`: signed 32-bit. `now` in ms. */
  choose(
    local: Uint8Array,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
    now: number,
  ): { number: number; timestampOffset: number } {
    const input = this.#input.fill(0)
    const view = new DataView(input.buffer)
    view.setUint16(0, localPort)
    view.setUint16(2, remotePort)
    input.set(local, 4)
    input.set(remote, 20)
    const hash = this.#suite.blake2s(8, this.#secret, input)
    const out = new DataView(hash.buffer, hash.byteOffset, 8)
    const clock = Math.floor(now * 250) % 2 ** 32
    return { number: (out.getInt32(0) + clock) | 0, timestampOffset: out.getInt32(4) }
  }
}
