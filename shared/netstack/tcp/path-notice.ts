import type { TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { pseudoHeaderSum } from '#shared/wire/checksum.ts'
import { Protocol } from '#shared/wire/ip-packet.ts'
import { IPV4_HEADER_LENGTH, writeIpv4Header } from '#shared/wire/ipv4.ts'
import { IPV6_HEADER_LENGTH, writeIpv6Header } from '#shared/wire/ipv6.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'
import { TCP_HEADER_LENGTH, TcpFlag } from '#shared/wire/tcp.ts'

const HOP_LIMIT = 64
const quote = new Uint8Array(IPV6_HEADER_LENGTH + TCP_HEADER_LENGTH)
const out = new Uint8Array(PACKET_TOO_BIG_LIMIT)

/**
 * The error that tells the peer of `c` how large packets to us may be (RFC 8201), as a router between the two would send it: about the
 * segment that we await next, which is in flight if anything is, so that the peer believes it (RFC 5927 §4). Valid until the next call.
 */
export function tooBigForPeer(c: TcpConnection, mtu: number): Uint8Array {
  const view = new DataView(quote.buffer)
  const four = c.remote.length === 4
  const at = four ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH
  const claimed = Math.max(mtu + 1, at + TCP_HEADER_LENGTH) - at
  if (four) writeIpv4Header(view, quote, c.remote, c.local.bytes, Protocol.Tcp, claimed, HOP_LIMIT)
  else writeIpv6Header(view, quote, c.remote, c.local.bytes, Protocol.Tcp, claimed, HOP_LIMIT)
  view.setUint16(at, c.remotePort)
  view.setUint16(at + 2, c.localPort)
  view.setInt32(at + 4, c.received)
  view.setInt32(at + 8, c.una)
  view.setUint16(at + 12, ((TCP_HEADER_LENGTH / 4) << 12) | TcpFlag.Ack)
  // Nobody can check the sum of a packet that is quoted in part; what stands there is at least of this flow.
  view.setUint32(at + 14, pseudoHeaderSum(c.remote, c.local.bytes, Protocol.Tcp) & 0xffff)
  return out.subarray(0, writePacketTooBig(out, c.local.bytes, c.remote, mtu, quote.subarray(0, at + TCP_HEADER_LENGTH)))
}
