import { copyEndpoint, type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { AMPLIFICATION } from './wireguard-constants.ts'

/**
 * Where the peer is, and how much may be sent there. After a move, at most three times the bytes that came from the new address go
 * there until a newer authentic packet comes from it; the rest goes to where the peer was last proven to be. So whoever relays or replays
 * a packet from another address wins no flood there, and takes nothing from the peer.
 */
export class PathGuard {
  readonly #steered: boolean
  #endpoint: Endpoint | undefined
  /** The last endpoint that needed no such limit. */
  #proven: Endpoint | undefined
  /** Bytes that may still go to `#endpoint`; Infinity once it is proven. Whether a packet has found too few. */
  #budget = Number.POSITIVE_INFINITY
  #isSpent = false

  /** `steered`: the owner alone says where the peer is, having proofs of its own. */
  constructor(steered = false) {
    this.#steered = steered
  }

  /** Where the packet goes for which `spend` was asked last. */
  get endpoint(): Endpoint | undefined {
    return this.#isSpent ? this.#proven : this.#endpoint
  }

  /** The same, where nothing limits what goes there. */
  get provenEndpoint(): Endpoint | undefined {
    return this.#budget === Number.POSITIVE_INFINITY ? this.#endpoint : undefined
  }

  /** The owner's word: needs no proof. */
  set(endpoint: Endpoint | undefined): void {
    this.#endpoint = endpoint && copyEndpoint(endpoint)
    this.#proven = this.#endpoint
    this.#budget = Number.POSITIVE_INFINITY
    this.#isSpent = false
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
    const left = this.endpoint
    this.#endpoint = copyEndpoint(from)
    this.#isSpent = false
    this.#budget = sameEndpoint(from, this.#proven) ? Number.POSITIVE_INFINITY : AMPLIFICATION * bytes
    return sameEndpoint(left, from) ? undefined : left
  }

  /** What we sent there was answered from there: the place is proven. */
  reached(at: Endpoint): void {
    if (!sameEndpoint(at, this.#endpoint)) return
    this.#proven = this.#endpoint
    this.#budget = Number.POSITIVE_INFINITY
    this.#isSpent = false
  }

  /** Takes `bytes` from the budget; where they are not there, the packet goes to the proven endpoint. False: there is none. */
  spend(bytes: number): boolean {
    this.#isSpent = this.#budget < bytes
    if (!this.#isSpent) this.#budget -= bytes
    return !this.#isSpent || this.#proven !== undefined
  }

  /** Where an initiation of `bytes` may go: the last proven endpoint once the new one's budget is spent. */
  forInitiation(bytes: number): Endpoint | undefined {
    this.spend(bytes)
    return this.endpoint
  }

  #prove(bytes: number, newest: boolean): void {
    if (!newest) {
      this.#budget += AMPLIFICATION * bytes
      return
    }
    this.#proven = this.#endpoint
    this.#budget = Number.POSITIVE_INFINITY
    this.#isSpent = false
  }
}
