import { pseudoHeaderSum } from '#shared/wire/checksum.ts'
import { ICMP_HEADER_LENGTH } from '#shared/wire/icmp.ts'
import { Icmpv6Type } from '#shared/wire/icmpv6.ts'
import { parseAddress, sameAddress } from '#shared/wire/ip-address.ts'
import { decodeIpPacket, IpPacket, Protocol } from '#shared/wire/ip-packet.ts'
import { IPV4_HEADER_LENGTH, writeIpv4Header } from '#shared/wire/ipv4.ts'
import { IPV6_HEADER_LENGTH, writeIpv6Header } from '#shared/wire/ipv6.ts'
import { isUdpDatagram, UDP_HEADER_LENGTH, writeUdpHeader } from '#shared/wire/udp.ts'

/** The inner UDP port on which ends meet each other through the hub, on both sides (DESIGN D6). */
export const OVERLAY_PORT = 4501

/** Of a packet inside an association, bytes: fits every path that carries IPv6, and through the hub two pieces at most (DESIGN §5). */
export const INNER_MTU = 1280

const FRAGMENT_HEADER_LENGTH = 8
const FRAGMENT = 44
const HOP_LIMIT = 64
/** Of one packet: what a sealed packet takes on the smallest path, and a letter of the longest on a common one. */
const PIECES = 8

/** Two inner addresses of one family, 4 or 16 bytes each. */
export interface InnerPair {
  readonly source: Uint8Array
  readonly destination: Uint8Array
}

/** The pair of inner addresses of one family, IPv6 before IPv4; undefined where there is none. */
export function innerPair(ours: readonly string[], theirs: readonly string[]): InnerPair | undefined {
  for (const width of [16, 4]) {
    const source = ours.map(parseAddress).find(({ length }) => length === width)
    const destination = theirs.map(parseAddress).find(({ length }) => length === width)
    if (source && destination) return { source, destination }
  }
  return undefined
}

/** Bytes of a message in the longest packet. */
export const longestMessage = ({ source }: InnerPair): number =>
  INNER_MTU - UDP_HEADER_LENGTH - (source.length === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH)

/** One inner IP packet with a UDP datagram between the overlay ports. */
export function overlayPacket({ source, destination }: InnerPair, payload: Uint8Array): Uint8Array {
  const header = source.length === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH
  const packet = new Uint8Array(header + UDP_HEADER_LENGTH + payload.length)
  const view = new DataView(packet.buffer)
  packet.set(payload, header + UDP_HEADER_LENGTH)
  const pseudo = pseudoHeaderSum(source, destination, Protocol.Udp)
  writeUdpHeader(view, header, OVERLAY_PORT, OVERLAY_PORT, payload.length, pseudo)
  const length = UDP_HEADER_LENGTH + payload.length
  if (header === IPV4_HEADER_LENGTH) writeIpv4Header(view, packet, source, destination, Protocol.Udp, length, HOP_LIMIT)
  else writeIpv6Header(view, packet, source, destination, Protocol.Udp, length, HOP_LIMIT)
  return packet
}

/**
 * The packet whole where `mtu` lets it pass, else as fragments of inner IPv6 (RFC 8200 §4.5); none where it would take more than
 * `PIECES`, or for IPv4, of which our inner ends make no fragments.
 */
export function piecesOf(packet: Uint8Array, mtu: number, id: number): Uint8Array[] {
  if (packet.length <= mtu) return [packet]
  if (packet[0]! >> 4 !== 6) return []
  const payload = packet.subarray(IPV6_HEADER_LENGTH)
  const room = (mtu - IPV6_HEADER_LENGTH - FRAGMENT_HEADER_LENGTH) & ~7
  if (room <= 0 || payload.length > PIECES * room) return []
  return Array.from({ length: Math.ceil(payload.length / room) }, (_, i) => {
    const end = (i + 1) * room
    return piece(packet, payload.subarray(i * room, end), i * room, end < payload.length, id)
  })
}

function piece(whole: Uint8Array, part: Uint8Array, offset: number, more: boolean, id: number): Uint8Array {
  const out = new Uint8Array(IPV6_HEADER_LENGTH + FRAGMENT_HEADER_LENGTH + part.length)
  const view = new DataView(out.buffer)
  out.set(whole.subarray(0, IPV6_HEADER_LENGTH))
  view.setUint16(4, FRAGMENT_HEADER_LENGTH + part.length)
  out[6] = FRAGMENT
  out[IPV6_HEADER_LENGTH] = whole[6]!
  view.setUint16(IPV6_HEADER_LENGTH + 2, offset | (more ? 1 : 0))
  view.setUint32(IPV6_HEADER_LENGTH + 4, id)
  out.set(part, IPV6_HEADER_LENGTH + FRAGMENT_HEADER_LENGTH)
  return out
}

/** The payload of a whole overlay packet from the pair's destination to its source; undefined of any other packet. */
export function overlayMessageIn(packet: Uint8Array, { source, destination }: InnerPair): Uint8Array | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength)
  const parts = new IpPacket()
  if (decodeIpPacket(view, packet.length, parts) !== 0 || parts.isFragment || parts.protocol !== Protocol.Udp) return undefined
  const { payload, end, version } = parts
  if (end - payload < UDP_HEADER_LENGTH || parts.addressLength !== source.length) return undefined
  if (view.getUint16(payload) !== OVERLAY_PORT || view.getUint16(payload + 2) !== OVERLAY_PORT) return undefined
  const from = packet.subarray(parts.source, parts.source + parts.addressLength)
  const to = packet.subarray(parts.destination, parts.destination + parts.addressLength)
  if (!sameAddress(from, destination) || !sameAddress(to, source)) return undefined
  const pseudo = pseudoHeaderSum(from, to, Protocol.Udp)
  if (!isUdpDatagram(view, payload, end, pseudo, version)) return undefined
  return packet.subarray(payload + UDP_HEADER_LENGTH, payload + view.getUint16(payload + 4))
}

/** Whether it is an overlay packet, or a fragment of inner UDP, of which nothing but the overlay takes any. */
export function mayBeOverlay(packet: Uint8Array): boolean {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength)
  const parts = new IpPacket()
  if (decodeIpPacket(view, packet.length, parts) !== 0 || parts.protocol !== Protocol.Udp) return false
  return (
    parts.isFragment || (parts.end - parts.payload >= UDP_HEADER_LENGTH && view.getUint16(parts.payload + 2) === OVERLAY_PORT)
  )
}

/** What a "packet too big" of IPv6 (RFC 4443 §3.2) says of an overlay packet of ours that it quotes, bytes; undefined of any other. */
export function overlayMtuIn(packet: Uint8Array): number | undefined {
  const quoted = IPV6_HEADER_LENGTH + ICMP_HEADER_LENGTH
  if (packet.length < quoted + IPV6_HEADER_LENGTH || packet[0]! >> 4 !== 6 || packet[6] !== Protocol.Icmpv6) return undefined
  if (packet[IPV6_HEADER_LENGTH] !== Icmpv6Type.PacketTooBig || packet[quoted]! >> 4 !== 6) return undefined
  // Nothing else of ours is UDP, or comes in fragments.
  if (packet[quoted + 6] !== Protocol.Udp && packet[quoted + 6] !== FRAGMENT) return undefined
  return new DataView(packet.buffer, packet.byteOffset).getUint32(IPV6_HEADER_LENGTH + 4)
}
