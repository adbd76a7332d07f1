import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { resetInAnswer, resetLimit } from '#shared/dataplane/tcp-reset.ts'
import { type DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'
import { type DirectHost, type DirectOptions, isStrictEnd } from './direct-host.ts'
import type { DirectPeer } from './direct-peer.ts'
import { INNER_MTU, mayBeOverlay, overlayMessageIn, overlayMtuIn } from './overlay-packet.ts'
import type { OverlayRoad } from './overlay-road.ts'
import type { PeerRegister } from './peer-register.ts'

/** What the road of inner packets leads over. */
interface InnerRoadOptions {
  readonly options: DirectOptions
  readonly host: DirectHost
  readonly register: PeerRegister
  readonly road: OverlayRoad
  readonly counters: DropCounters
}

/**
 * The road of inner packets: which go inside an association, which through the hub as they are, and which of those that come may go on.
 *
 *   netstack -> outbound -> association | hub          association -> opened -> filter -> netstack
 *                                                              hub -> admits -> netstack
 */
export class InnerRoad {
  readonly #options: DirectOptions
  readonly #host: DirectHost
  readonly #register: PeerRegister
  readonly #road: OverlayRoad
  readonly #counters: DropCounters

  constructor({ options, host, register, road, counters }: InnerRoadOptions) {
    this.#options = options
    this.#host = host
    this.#register = register
    this.#road = road
    this.#counters = counters
  }

  /** One inner packet of ours; `broker`: addresses of the broker itself. False: it is for the hub. */
  outbound(packet: Uint8Array, broker: readonly string[]): boolean {
    const peer = this.#register.at(packet, 'destination')
    if (peer === undefined) {
      if (!this.isClosedToHub || isOf(packet, 'destination', broker)) return false
      this.#counters.count(DropReason.NoSession)
      return true
    }
    // What the hub has to carry anyway it carries once, and not sealed twice, unless nothing else would be believed.
    const isSealed = peer.isEstablished && !peer.isPlain && (!peer.leads || isByUdp(peer))
    if (!isSealed && !this.isStrictWith(peer)) return false
    if (packet.length > INNER_MTU) return this.#refuse(packet)
    const now = this.#host.clock.now()
    if (this.#road.seal(peer, packet, peer.association.endpoint, now)) peer.sent(packet.length, now)
    return true
  }

  /** Whether an inner packet that came through the hub, from none of our own associations, may go on. */
  admits(packet: Uint8Array, broker: readonly string[]): boolean {
    const peer = this.#register.at(packet, 'source')
    if ((peer === undefined && !this.isClosedToHub) || mayBeOverlay(packet)) return true
    const mtu = peer && overlayMtuIn(packet)
    if (mtu !== undefined) {
      peer?.relayTakes(mtu, this.#host.clock.now())
      return false
    }
    if (peer !== undefined && !this.isStrictWith(peer)) {
      if (!peer.leads) peer.isPlain = true
      return true
    }
    if (isOf(packet, 'source', broker)) return true
    this.#counters.count(DropReason.FilterRefused)
    // Nobody whom we know: silence would cost a person a minute. Who is known says it again, inside our association.
    const reset = peer === undefined ? resetFor(packet) : undefined
    if (reset) this.#host.relay(reset)
    return false
  }

  /** The peer's association has opened a datagram that came `from` there; `packet` is empty for a keepalive. */
  opened(peer: DirectPeer, packet: Uint8Array, from: Endpoint, now: Instant): void {
    const message = packet.length === 0 ? undefined : overlayMessageIn(packet, peer.inner)
    peer.heard(from, packet.length > 0 && message === undefined, now)
    if (packet.length === 0) return
    if (message !== undefined) {
      if (!peer.hear(message, from, now)) this.#counters.count(DropReason.Malformed)
      return
    }
    const verdict = peer.filter.judge(packet, this.#options.time())
    if (verdict < 0) {
      this.#counters.count(verdict)
      const reset = verdict === DropReason.FilterRefused && !peer.leads ? resetFor(packet) : undefined
      if (reset) this.outbound(reset, [])
      return
    }
    peer.isPlain = false
    this.#host.deliver(packet, peer.association)
  }

  /** The association that takes packets as this one directly, without the hub; undefined: none does. */
  shortcut(packet: Uint8Array): Association | undefined {
    const peer = this.#register.at(packet, 'destination')
    return peer?.isEstablished && isByUdp(peer) ? peer.association : undefined
  }

  isStrictWith(peer: DirectPeer): boolean {
    return peer.isStrict || isStrictEnd(this.#options)
  }

  /** A device that believes nothing but associations speaks with nobody else, the broker apart. */
  get isClosedToHub(): boolean {
    return this.#options.role === 'device' && isStrictEnd(this.#options)
  }

  /** Tells the netstack how large a packet may be here (RFC 8201): what the hub's path takes can be more. */
  #refuse(packet: Uint8Array): true {
    const [at, width] = packet[0]! >> 4 === 4 ? [12, 4] : [8, 16]
    const source = packet.slice(at + width, at + 2 * width)
    const destination = packet.slice(at, at + width)
    const error = new Uint8Array(PACKET_TOO_BIG_LIMIT)
    this.#counters.count(DropReason.InnerTooBig)
    this.#host.deliver(error.subarray(0, writePacketTooBig(error, source, destination, INNER_MTU, packet)), undefined)
    return true
  }
}

const isByUdp = ({ association: { endpoint } }: DirectPeer): boolean => endpoint !== undefined && !isCarried(endpoint)

function isOf(packet: Uint8Array, which: 'source' | 'destination', addresses: readonly string[]): boolean {
  const [at, width] = packet[0]! >> 4 === 4 ? [12, 4] : [8, 16]
  return addresses.includes(formatAddress(packet, which === 'source' ? at : at + width, width))
}

/** The reset that answers a packet of TCP; undefined of any other. */
function resetFor(bytes: Uint8Array): Uint8Array | undefined {
  const packet = new InnerPacket()
  const out = new Uint8Array(resetLimit)
  const length = packet.read(bytes, bytes.length) < 0 ? 0 : resetInAnswer(packet, out)
  return length === 0 ? undefined : out.subarray(0, length)
}
