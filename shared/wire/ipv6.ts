/**
 * The IPv6 header and its extension headers, RFC 8200 §3 and §4.
 *
 *  +-------+---------------+---------------------------------------+
 *  |Version| Traffic Class |           Flow Label                  |
 *  |         Payload Length        |  Next Header  |   Hop Limit   |
 *  |                       Source Address (16)                     |
 *  |                    Destination Address (16)                   |
 */
import { DropReason } from '#shared/drop-reason.ts'
import type { IpPacket } from './ip-packet.ts'

/** Bytes of the fixed header, the only one written. */
export const IPV6_HEADER_LENGTH = 40

const HOP_BY_HOP = 0
const ROUTING = 43
const FRAGMENT = 44
const AUTHENTICATION = 51
const DESTINATION_OPTIONS = 60

/** More extension headers than any honest packet has. */
const MAX_EXTENSION_HEADERS = 8

/** Returns 0 or `InnerMalformed`. */
export function decodeIpv6(view: DataView, length: number, out: IpPacket): number {
  if (length < IPV6_HEADER_LENGTH) return DropReason.InnerMalformed
  const end = IPV6_HEADER_LENGTH + view.getUint16(4)
  if (end > length) return DropReason.InnerMalformed
  out.version = 6
  out.hopLimit = view.getUint8(7)
  out.source = 8
  out.destination = 24
  out.addressLength = 16
  out.end = end
  out.fragmentOffset = 0
  out.moreFragments = false
  out.fragmentId = 0
  return decodeExtensionHeaders(view, view.getUint8(6), IPV6_HEADER_LENGTH, end, out)
}

/**
 * Walks the chain of extension headers from `at`, whose kind is `next`; sets `protocol`, `payload` and the fragment fields. Also
 * for the chain behind a fragment header, once the fragments are put together. Every length is checked against `end` before the
 * bytes behind it are looked at.
 */
export function decodeExtensionHeaders(view: DataView, next: number, at: number, end: number, out: IpPacket): number {
  let fragmented = false
  for (let count = 0; count <= MAX_EXTENSION_HEADERS; count++) {
    // Hop-by-hop options stand first or not at all (RFC 8200 §4.1): elsewhere they are one of the ways to confuse a filter.
    const known = next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS || next === FRAGMENT
    if (next === AUTHENTICATION || (next === HOP_BY_HOP && count > 0)) return DropReason.InnerMalformed
    if (!known) {
      out.protocol = next
      out.payload = at
      return 0
    }
    if (at + 8 > end) return DropReason.InnerMalformed
    if (next === FRAGMENT) {
      if (fragmented) return DropReason.InnerMalformed
      fragmented = true
      const word = view.getUint16(at + 2)
      out.fragmentOffset = word & 0xfff8
      out.moreFragments = (word & 1) !== 0
      out.fragmentId = view.getInt32(at + 4)
      next = view.getUint8(at)
      at += 8
      if (out.isFragment) {
        // What follows is a piece: its headers can be walked only when it is whole again.
        out.protocol = next
        out.payload = at
        return 0
      }
      continue
    }
    const size = (view.getUint8(at + 1) + 1) * 8
    if (at + size > end) return DropReason.InnerMalformed
    if (next === ROUTING) {
      // Segments left would ask us to forward; type 0 is forbidden outright (RFC 5095).
      if (view.getUint8(at + 3) !== 0) return DropReason.InnerMalformed
    } else if (!optionsAreSkippable(view, at + 2, at + size)) return DropReason.InnerMalformed
    next = view.getUint8(at)
    at += size
  }
  return DropReason.InnerMalformed
}

/** Options that we do not know may be skipped only where their two highest bits are zero (RFC 8200 §4.2). */
function optionsAreSkippable(view: DataView, from: number, to: number): boolean {
  for (let at = from; at < to; ) {
    const kind = view.getUint8(at)
    if (kind === 0) {
      at++
      continue
    }
    if (kind >= 0x40 || at + 2 > to) return false
    at += 2 + view.getUint8(at + 1)
    if (at > to) return false
  }
  return true
}

/** Writes a header for `payloadLength` bytes; the payload starts at 40. `flowLabel`: 20 bits. */
export function writeIpv6Header(
  view: DataView,
  bytes: Uint8Array,
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  payloadLength: number,
  hopLimit: number,
  flowLabel = 0,
): void {
  view.setInt32(0, 0x6000_0000 | (flowLabel & 0xf_ffff))
  view.setUint16(4, payloadLength)
  view.setUint8(6, protocol)
  view.setUint8(7, hopLimit)
  for (let i = 0; i < 16; i++) {
    bytes[8 + i] = source[i]!
    bytes[24 + i] = destination[i]!
  }
}
