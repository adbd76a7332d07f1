import type { InnerPacket } from '#shared/dataplane/inner-packet.ts'

/** Takes one hop off a packet that we route, in place; false where none is left. */
export const spendHop = (packet: InnerPacket): boolean => spendHopAt(packet.bytes, packet.start)

/**
 * The same of the IP packet that begins at `start` (RFC 791 TTL, RFC 8200 hop limit). The IPv4 header checksum is mended by the
 * difference (RFC 1624 eqn. 3).
 */
export function spendHopAt(bytes: Uint8Array, start: number): boolean {
  if (bytes[start]! >>> 4 === 6) {
    const hops = bytes[start + 7]!
    if (hops <= 1) return false
    bytes[start + 7] = hops - 1
    return true
  }
  const ttl = bytes[start + 8]!
  if (ttl <= 1) return false
  bytes[start + 8] = ttl - 1
  // HC' = ~(~HC + ~m + m'), where m and m' are the word of TTL and protocol before and after: it fell by 0x0100.
  const checksum = (bytes[start + 10]! << 8) | bytes[start + 11]!
  const sum = (~checksum & 0xffff) + 0xfeff
  const folded = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff
  bytes[start + 10] = folded >>> 8
  bytes[start + 11] = folded & 0xff
  return true
}
