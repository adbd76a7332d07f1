import type { Suite } from '#shared/crypto/suite.ts'
import { type DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import { borrowScratch, returnScratch } from '../scratch.ts'
import type { DirectHost } from './direct-host.ts'
import type { DirectPeer } from './direct-peer.ts'
import { overlayPacket, piecesOf } from './overlay-packet.ts'

/**
 * The road out of datagrams to another end: by UDP to a place of its own, or as inner UDP through the hub, in pieces where the hub's way
 * to it is small. Datagrams are borrowed for the call.
 */
export class OverlayRoad {
  readonly #host: DirectHost
  readonly #counters: DropCounters
  #fragmentId: number

  constructor(host: DirectHost, counters: DropCounters) {
    this.#host = host
    this.#counters = counters
    this.#fragmentId = randomStart(host.suite)
  }

  /** Seals an inner packet in the peer's association and sends it `to` there; undefined: nowhere yet. False: there is no session. */
  seal(peer: DirectPeer, packet: Uint8Array, to: Endpoint | undefined, now: Instant): boolean {
    const out = borrowScratch()
    const length = peer.association.seal(packet, packet.length, out, now)
    if (length < 0) this.#counters.count(length)
    else if (to !== undefined) this.transmit(out.subarray(0, length), to, peer)
    returnScratch(out)
    return length >= 0
  }

  transmit(datagram: Uint8Array, to: Endpoint, peer: DirectPeer): void {
    if (isCarried(to)) this.throughHub(datagram, peer)
    else this.#host.send(datagram, to)
  }

  throughHub(payload: Uint8Array, peer: DirectPeer): void {
    const mtu = Math.min(this.#host.relayMtu(), peer.relayMtu(this.#host.clock.now()))
    this.relay(overlayPacket(peer.inner, payload), mtu)
  }

  /** An overlay packet through the hub, in pieces of at most `mtu` bytes. */
  relay(packet: Uint8Array, mtu: number): void {
    this.#fragmentId = (this.#fragmentId + 1) >>> 0
    const pieces = piecesOf(packet, mtu, this.#fragmentId)
    if (pieces.length === 0) this.#counters.count(DropReason.InnerTooBig)
    for (const piece of pieces) this.#host.relay(piece)
  }
}

/** A random 31-bit number to count on from, so that nobody can say the next one. */
export function randomStart(suite: Suite): number {
  const [a = 0, b = 0, c = 0, d = 0] = suite.random(4)
  return ((a & 0x7f) << 24) | (b << 16) | (c << 8) | d
}
