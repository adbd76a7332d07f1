import { type DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import type { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { classify, type DatagramKind } from '#shared/wire/demux.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { borrowScratch, returnScratch } from '../scratch.ts'
import type { Introductions } from './introductions.ts'
import { letterIn } from './letter.ts'
import type { PeerRegister } from './peer-register.ts'

/** Where datagrams go that have come. */
interface ArrivalsOptions {
  /** Holds the associations. */
  readonly endpoint: WireguardEndpoint
  /** Whether that endpoint is ours alone, since the hub speaks another suite. */
  readonly isOwnEndpoint: boolean
  readonly register: PeerRegister
  readonly introductions: Introductions
  readonly counters: DropCounters
  /** An association has opened a datagram. */
  opened(association: Association, packet: Uint8Array, from: Endpoint): void
}

/** Datagrams of other ends that arrive: by UDP, or through the hub as inner UDP. Borrowed for the call. */
export class Arrivals {
  readonly #options: ArrivalsOptions
  /** Whence the datagram under way came: what it completes was completed by that way. */
  from: Endpoint | undefined

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  /** True: it is for us alone, and done with: letters, and where the hub speaks another suite all that is WireGuard's. */
  byUdp(kind: DatagramKind, datagram: Uint8Array, from: Endpoint, now: Instant): boolean {
    this.from = from
    if (kind === 'stun') {
      if (letterIn(datagram) === undefined) return false
      this.#options.introductions.take(datagram, { kind: 'udp', endpoint: from }, now)
      return true
    }
    if (!this.#options.isOwnEndpoint || (kind !== 'wireguard-handshake' && kind !== 'wireguard-data')) return false
    if (kind === 'wireguard-data') this.#data(datagram, from, now)
    else this.#control(datagram, from, now)
    return true
  }

  /** The payload of inner UDP to port 4501 that came through the hub from an inner address. */
  byHub(payload: Uint8Array, address: string, now: Instant): void {
    const { counters, introductions, register } = this.#options
    const peer = register.withAddress(address)
    const kind = classify(payload)
    if (kind === 'stun') introductions.take(payload, { kind: 'overlay', address }, now)
    else if (peer === undefined) counters.count(DropReason.UnknownPeer)
    else if (kind === 'wireguard-handshake') this.#control(payload, peer.overlay, now)
    else if (kind === 'wireguard-data') this.#data(payload, peer.overlay, now)
    else counters.count(DropReason.UnknownKind)
  }

  #control(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    this.from = from
    this.#options.endpoint.handleControl(datagram, from, now)
  }

  #data(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const out = borrowScratch()
    const { endpoint } = this.#options
    this.from = from
    const length = endpoint.open(datagram, from, out, now)
    if (length >= 0 && endpoint.opened) this.#options.opened(endpoint.opened, out.subarray(0, length), from)
    returnScratch(out)
  }
}
