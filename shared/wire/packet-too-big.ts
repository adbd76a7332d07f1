/**
 * "Packet too big" of both families: ICMP 3/4, fragmentation needed, with the next hop's MTU (RFC 792, RFC 1191 §4), and ICMPv6 type 2
 * (RFC 4443 §3.2), written as whole inner packets.
 *
 *  |     Type      |     Code      |           Checksum            |
 *  |     IPv4: unused (16), MTU (16)       IPv6: MTU (32)          |
 *  |     as much of the packet that was too big as has room        |
 */
import { foldChecksum, pseudoHeaderSum, sumWords, swap16 } from './checksum.ts'
import { ICMP_HEADER_LENGTH, IcmpType, IcmpUnreachable } from './icmp.ts'
import { Icmpv6Type } from './icmpv6.ts'
import { Protocol } from './ip-packet.ts'
import { IPV4_HEADER_LENGTH, writeIpv4Header } from './ipv4.ts'
import { IPV6_HEADER_LENGTH, writeIpv6Header } from './ipv6.ts'

/** Bytes of the refused packet that are quoted at most: its IP header with some options, and a transport header. */
const QUOTE = 96
/** Room that the longest needs. */
export const PACKET_TOO_BIG_LIMIT = IPV6_HEADER_LENGTH + ICMP_HEADER_LENGTH + QUOTE
const HOP_LIMIT = 64

/**
 * Writes the error about `quoted`, an IP packet or its head, into `out` (`PACKET_TOO_BIG_LIMIT` bytes) and returns its length. `source`
 * and `destination`: of the error itself, 4 or 16 bytes. `mtu`: bytes of a whole packet that would pass.
 */
export function writePacketTooBig(
  out: Uint8Array,
  source: Uint8Array,
  destination: Uint8Array,
  mtu: number,
  quoted: Uint8Array,
): number {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength)
  const four = source.length === 4
  const at = four ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH
  const length = ICMP_HEADER_LENGTH + Math.min(quoted.length, QUOTE)
  out.set(quoted.subarray(0, QUOTE), at + ICMP_HEADER_LENGTH)
  view.setUint16(at, four ? (IcmpType.Unreachable << 8) | IcmpUnreachable.FragmentationNeeded : Icmpv6Type.PacketTooBig << 8)
  view.setUint16(at + 2, 0)
  view.setUint32(at + 4, mtu)
  const pseudo = four ? 0 : pseudoHeaderSum(source, destination, Protocol.Icmpv6) + swap16(length)
  view.setUint16(at + 2, foldChecksum(sumWords(view, at, at + length, pseudo)), true)
  if (four) writeIpv4Header(view, out, source, destination, Protocol.Icmp, length, HOP_LIMIT)
  else writeIpv6Header(view, out, source, destination, Protocol.Icmpv6, length, HOP_LIMIT)
  return at + length
}
