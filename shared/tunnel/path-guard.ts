import { copyEndpoint, type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { AMPLIFICATION } from './wireguard-constants.ts'

/**
 * Where the peer is, and how much may be sent there. After a move, at most three times the bytes that came from the new address,
 * until a newer authentic packet comes from it: whoever replays a packet from a victim's address wins no flood.
 */
export class PathGuard {
  readonly #steered: boolean
  #endpoint: Endpoint | undefined
  /** The last endpoint that needed no such limit. */
  #proven: Endpoint | undefined
  /** Bytes that may still go to `#endpoint`; Infinity once it is proven. */
  #budget = Number.POSITIVE_INFINITY

  /** `steered`: the owner alone says where the peer is, having proofs of its own. */
  constructor(steered = false) {
    this.#steered = steered
  }

  get endpoint(): Endpoint | undefined {
    return this.#endpoint
  }

  /** The owner's word: needs no proof. */
  set(endpoint: Endpoint | undefined): void {
    this.#endpoint = endpoint && copyEndpoint(endpoint)
    this.#proven = this.#endpoint
    this.#budget = Number.POSITIVE_INFINITY
  }

  /**
   * An authentic datagram of `bytes` came; `newest`: no later one has come before. Returns the endpoint left behind, where it made
   * the peer move, else undefined.
   */
  received(from: Endpoint, bytes: number, newest: boolean): Endpoint | undefined {
    const endpoint = this.#endpoint
    if (endpoint === undefined) {
      if (newest) this.set(from)
      return undefined
    }
    if (this.#steered) return undefined
    if (from.port === endpoint.port && from.address === endpoint.address) {
      if (this.#budget !== Number.POSITIVE_INFINITY) this.#prove(bytes, newest)
      return undefined
    }
    if (!newest) return undefined
    this.#endpoint = copyEndpoint(from)
    this.#budget = sameEndpoint(from, this.#proven) ? Number.POSITIVE_INFINITY : AMPLIFICATION * bytes
    return endpoint
  }

  /** What we sent there was answered from there: the place is proven. */
  reached(at: Endpoint): void {
    if (!sameEndpoint(at, this.#endpoint)) return
    this.#proven = this.#endpoint
    this.#budget = Number.POSITIVE_INFINITY
  }

  /** Takes `bytes` from the budget, if they are there. */
  spend(bytes: number): boolean {
    if (this.#budget < bytes) return false
    this.#budget -= bytes
    return true
  }

  /** Where an initiation of `bytes` may go: the last proven endpoint once the new one's budget is spent. */
  forInitiation(bytes: number): Endpoint | undefined {
    return this.spend(bytes) ? this.#endpoint : this.#proven
  }

  #prove(bytes: number, newest: boolean): void {
    if (!newest) {
      this.#budget += AMPLIFICATION * bytes
      return
    }
    this.#proven = this.#endpoint
    this.#budget = Number.POSITIVE_INFINITY
  }
}
