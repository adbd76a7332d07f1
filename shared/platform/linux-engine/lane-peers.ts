import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { HeldSession } from './held-session.ts'

/** An association as the lane knows it: by which session, and where, the lane may send for it. */
export class LanePeer {
  readonly id: number
  session: HeldSession | undefined = undefined
  /** Its socket address; empty: the lane may not send there by its own sockets. */
  address: Uint8Array = NOWHERE
  /** The way to it is none of the lane's. */
  carried: Endpoint | undefined = undefined
  /** Largest inner packet that has room on its path, bytes. */
  room = Number.POSITIVE_INFINITY
  /** The lane's open batch for it; -1: none. */
  batch = -1
  /** Its path refuses segmentation offload. */
  refusesBatches = false
  /** Sessions and flows that name it. */
  uses = 0

  constructor(id: number) {
    this.id = id
  }

  get sends(): boolean {
    return this.session !== undefined && (this.address.length > 0 || this.carried !== undefined)
  }
}

const NOWHERE = new Uint8Array(0)

/** By the association's id. They stay for as long as anything names them. */
export class LanePeers {
  readonly #byId = new Map<number, LanePeer>()

  get size(): number {
    return this.#byId.size
  }

  get(id: number): LanePeer | undefined {
    return this.#byId.get(id)
  }

  /** To be paired with `left`. */
  used(id: number): LanePeer {
    const peer = this.at(id)
    peer.uses++
    return peer
  }

  at(id: number): LanePeer {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const peer = new LanePeer(id)
    this.#byId.set(id, peer)
    return peer
  }

  left(peer: LanePeer): void {
    peer.uses--
    if (peer.uses <= 0) this.#byId.delete(peer.id)
  }

  stopSending(peer: LanePeer): void {
    peer.session = undefined
    peer.address = NOWHERE
    peer.carried = undefined
    if (peer.uses <= 0) this.#byId.delete(peer.id)
  }
}
