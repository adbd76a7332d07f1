/**
 * The IPv4 header, RFC 791 §3.1.
 *
 *  0                   1                   2                   3
 *  +-------+-------+---------------+-------------------------------+
 *  |Version|  IHL  |Type of Service|          Total Length         |
 *  |         Identification        |Flags|      Fragment Offset    |
 *  |  Time to Live |    Protocol   |         Header Checksum       |
 *  |                       Source Address                          |
 *  |                    Destination Address                        |
 *  |                    Options                    |    Padding    |
 */
import { DropReason } from '#shared/drop-reason.ts'
import { foldChecksum, sumWords } from './checksum.ts'
import type { IpPacket } from './ip-packet.ts'

/** Bytes of a header without options, the only one written. */
export const IPV4_HEADER_LENGTH = 20

const DONT_FRAGMENT = 0x4000
const MORE_FRAGMENTS = 0x2000

/** Options of source routing (RFC 791): a packet that carries one asks to be sent where its sender likes. */
const LOOSE_SOURCE_ROUTE = 131
const STRICT_SOURCE_ROUTE = 137

/** Returns 0 or `InnerMalformed`. `length` >= 20. */
export function decodeIpv4(view: DataView, length: number, out: IpPacket): number {
  const headerLength = (view.getUint8(0) & 15) * 4
  const total = view.getUint16(2)
  if (headerLength < IPV4_HEADER_LENGTH || total < headerLength || total > length) return DropReason.InnerMalformed
  if (foldChecksum(sumWords(view, 0, headerLength)) !== 0) return DropReason.InnerMalformed
  if (headerLength > IPV4_HEADER_LENGTH && !optionsAreHarmless(view, headerLength)) return DropReason.InnerMalformed
  const fragment = view.getUint16(6)
  out.version = 4
  out.protocol = view.getUint8(9)
  out.hopLimit = view.getUint8(8)
  out.source = 12
  out.destination = 16
  out.addressLength = 4
  out.payload = headerLength
  out.end = total
  out.fragmentOffset = (fragment & 0x1fff) * 8
  out.moreFragments = (fragment & MORE_FRAGMENTS) !== 0
  out.fragmentId = view.getUint16(4)
  return 0
}

function optionsAreHarmless(view: DataView, headerLength: number): boolean {
  for (let at = IPV4_HEADER_LENGTH; at < headerLength; ) {
    const kind = view.getUint8(at)
    if (kind === 0) return true
    if (kind === 1) at++
    else {
      if (kind === LOOSE_SOURCE_ROUTE || kind === STRICT_SOURCE_ROUTE || at + 1 >= headerLength) return false
      const size = view.getUint8(at + 1)
      if (size < 2 || at + size > headerLength) return false
      at += size
    }
  }
  return true
}

/** Writes a header for `payloadLength` bytes, which are never to be fragmented on the way; the payload starts at 20. */
export function writeIpv4Header(
  view: DataView,
  bytes: Uint8Array,
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  payloadLength: number,
  hopLimit: number,
): void {
  view.setUint16(0, 0x4500)
  view.setUint16(2, IPV4_HEADER_LENGTH + payloadLength)
  // An atomic datagram needs no identification (RFC 6864 §4.1).
  view.setUint32(4, DONT_FRAGMENT)
  view.setUint8(8, hopLimit)
  view.setUint8(9, protocol)
  view.setUint16(10, 0)
  for (let i = 0; i < 4; i++) {
    bytes[12 + i] = source[i]!
    bytes[16 + i] = destination[i]!
  }
  view.setUint16(10, foldChecksum(sumWords(view, 0, IPV4_HEADER_LENGTH)), true)
}
