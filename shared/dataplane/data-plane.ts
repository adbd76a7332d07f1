import type { Flow, FlowEnd } from '#shared/dataplane/flow.ts'
import type { FlowFilter } from '#shared/dataplane/flow-filter.ts'
import { inbound } from '#shared/dataplane/inbound.ts'
import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { clampMss } from '#shared/dataplane/mss-clamp.ts'
import { dispatch, outbound } from '#shared/dataplane/outbound.ts'
import { PathSizes } from '#shared/dataplane/path-sizes.ts'
import { RouteTable } from '#shared/dataplane/route-table.ts'
import { resetInAnswer, resetLimit, resetsOfFlow } from '#shared/dataplane/tcp-reset.ts'
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, PeerEndpoint, TunnelEndpoint } from '#shared/tunnel/association.ts'
import { classify } from '#shared/wire/demux.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'

/** Longest inner packet that is carried, and the room that a suite may add to it. Bytes. */
export const innerPacketLimit = 2_048
const wrapLimit = 128

/** What the shell around a data plane does for it. Every buffer is borrowed for the call. */
export interface DataPlanePorts {
  /** Send an outer datagram; false where the system refused it. */
  transmit(datagram: Uint8Array, to: Endpoint): boolean
  /** An inner packet for this host: netstack's `input`, or a TUN. */
  deliver(packet: Uint8Array): void
  /** A STUN message arrived. Absent: counted as unknown. */
  stun?(datagram: Uint8Array, from: Endpoint, now: Instant): void
  /** An inner packet came from an association that its source address is not routed to (P-30). The callee bounds its alarms. */
  spoofed?(packet: InnerPacket, from: Association, now: Instant): void
  /** An inner packet had no room on the path to its receiver. */
  tooBig?(to: Association): void
}

export interface DataPlaneOptions {
  ports: DataPlanePorts
  filter: FlowFilter
  /** Judges WireGuard messages. An ESP endpoint stands beside it, told apart by the first bytes (DESIGN D2). */
  noise: TunnelEndpoint
  esp?: TunnelEndpoint
  counters?: DropCounters
}

/**
 * The road of packets, for broker and agent alike: the files inbound.ts, outbound.ts and relay.ts are its three directions. It owns
 * routes, filter and buffers, and knows nothing of sockets, so that any engine can drive it (shared/platform/packet-engine.ts).
 */
export class DataPlane {
  /** Inner prefixes to the association that owns them: where packets go, and whence alone they may come. */
  readonly routes = new RouteTable<Association>()
  readonly filter: FlowFilter
  /** What was dropped outside the endpoints; they count their own. */
  readonly counters: DropCounters
  readonly noise: TunnelEndpoint
  readonly esp: TunnelEndpoint | undefined
  readonly ports: DataPlanePorts
  /** The packet under way, and the buffers of the data lane: one packet is on the road at a time. */
  readonly packet = new InnerPacket()
  readonly plain = new Uint8Array(innerPacketLimit)
  readonly sealed = new Uint8Array(innerPacketLimit + wrapLimit)
  readonly traffic = { received: 0, sent: 0, relayed: 0, delivered: 0, keepalives: 0, stun: 0 }
  readonly #local = new RouteTable<true>()
  /** What peers with small paths have told of them. */
  readonly sizes = new PathSizes()
  readonly #reset = new Uint8Array(resetLimit)
  readonly #tooBig = new Uint8Array(PACKET_TOO_BIG_LIMIT)

  constructor(options: DataPlaneOptions) {
    this.ports = options.ports
    this.filter = options.filter
    this.noise = options.noise
    this.esp = options.esp
    this.counters = options.counters ?? new DropCounters()
  }

  /** The inner addresses of this host; packets to them are delivered here. */
  setLocal(addresses: readonly string[], before: readonly string[] = []): void {
    for (const address of before) this.#local.remove(address)
    for (const address of addresses) this.#local.insert(address, true)
  }

  isLocal(bytes: Uint8Array, at: number, width: number): boolean {
    return this.#local.lookup(bytes, at, width) === true
  }

  /** One outer datagram. Returns 0, or the DropReason that was counted, here or by the endpoint that refused it. Never throws on a stranger's bytes. */
  receive(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    this.traffic.received++
    switch (classify(datagram)) {
      case 'wireguard-data':
        return this.#open(this.noise, datagram, from, now)
      case 'wireguard-handshake':
        return this.noise.handleControl(datagram, from, now)
      case 'keepalive':
        this.traffic.keepalives++
        return 0
      case 'stun':
        if (this.ports.stun === undefined) return this.#counted(DropReason.UnknownKind)
        this.traffic.stun++
        this.ports.stun(datagram, from, now)
        return 0
      case 'ike':
        return this.esp?.handleControl(datagram, from, now) ?? this.#counted(DropReason.UnknownKind)
      case 'esp':
        return this.esp === undefined ? this.#counted(DropReason.UnknownKind) : this.#open(this.esp, datagram, from, now)
      default:
        return this.#counted(DropReason.UnknownKind)
    }
  }

  /**
   * An inner packet that a lane has opened in the session `local` of `endpoint`, as it was decrypted. Returns 0 or the DropReason that was
   * counted, here or by the endpoint.
   */
  admit(endpoint: PeerEndpoint, local: number, decrypted: Uint8Array, now: Instant): number {
    if (decrypted.length > this.plain.length) return this.#counted(DropReason.InnerTooBig)
    this.plain.set(decrypted)
    const length = endpoint.judge(local, this.plain, decrypted.length)
    if (length <= 0 || endpoint.opened === undefined) return Math.min(length, 0)
    return this.#counted(inbound(this, endpoint.opened, length, now))
  }

  /** One inner packet of this host (netstack's `transmit`, or read from a TUN). Returns 0 or the DropReason that was counted. */
  send(packet: Uint8Array, now: Instant): number {
    return this.#counted(outbound(this, packet, now))
  }

  /** Ends routes and flows of an association that is about to go; the other ends of its TCP flows are told by a reset. */
  detach(association: Association, now: Instant): void {
    this.sizes.forget(association)
    this.revoke((flow) => flow.initiator === association || flow.responder === association, now)
    this.routes.removeValue(association)
  }

  /** Ends the flows that `predicate` holds for, and tells both ends of the TCP ones by a reset; returns how many. */
  revoke(predicate: (flow: Flow) => boolean, now: Instant): number {
    const revoked = this.filter.revoke(predicate)
    for (const flow of revoked) {
      for (const reset of resetsOfFlow(flow, 'initiator', this.#reset)) this.#tell(flow.initiator, reset, now)
      for (const reset of resetsOfFlow(flow, 'responder', this.#reset)) this.#tell(flow.responder, reset, now)
    }
    return revoked.length
  }

  /** A reset to the sender of the refused packet under way, where it is of TCP: silence would cost a person a minute. */
  answerRefusal(to: FlowEnd, now: Instant): void {
    const length = resetInAnswer(this.packet, this.#reset)
    if (length > 0) this.#tell(to, this.#reset.subarray(0, length), now)
  }

  /**
   * Whether the packet under way, from `from` (undefined: this host) to `to`, has room on the path there. If not, its sender is told
   * (RFC 8201), and the caller counts. A SYN is cut to what the smaller of both paths takes.
   */
  fits(from: FlowEnd, to: Association, now: Instant): boolean {
    const room = this.sizes.of(to)
    const least = Math.min(room, this.sizes.of(from))
    if (least === Number.POSITIVE_INFINITY) return true
    const { packet } = this
    if (packet.length <= room) {
      clampMss(packet, least)
      return true
    }
    const { bytes, width, sourceAt, destinationAt, start, length } = packet
    const [source, destination] = [bytes.slice(destinationAt, destinationAt + width), bytes.slice(sourceAt, sourceAt + width)]
    const size = writePacketTooBig(this.#tooBig, source, destination, room, bytes.subarray(start, start + length))
    this.#tell(from, this.#tooBig.subarray(0, size), now)
    this.ports.tooBig?.(to)
    return false
  }

  /** Cuts the SYN under way, for this host, to what the path back to `from` takes: a kernel sends no less than 1280 bytes by IPv6. */
  clamp(from: Association): void {
    const room = this.sizes.of(from)
    if (room !== Number.POSITIVE_INFINITY) clampMss(this.packet, room)
  }

  #tell(end: FlowEnd, reset: Uint8Array, now: Instant): void {
    if (end === undefined) this.ports.deliver(reset)
    else dispatch(this, end, reset, reset.length, now)
  }

  /** Steps 1 of inbound.ts: what the endpoint refuses, it counts itself. */
  #open(endpoint: TunnelEndpoint, datagram: Uint8Array, from: Endpoint, now: Instant): number {
    if (datagram.length > this.plain.length) return this.#counted(DropReason.InnerTooBig)
    const length = endpoint.open(datagram, from, this.plain, now)
    // 0 bytes: an authenticated keepalive, of which the endpoint has taken note.
    if (length <= 0 || endpoint.opened === undefined) return Math.min(length, 0)
    return this.#counted(inbound(this, endpoint.opened, length, now))
  }

  #counted(result: number): number {
    if (result < 0) this.counters.count(result)
    return result
  }
}
