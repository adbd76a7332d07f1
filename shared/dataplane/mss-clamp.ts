import { type InnerPacket, PacketKind, TcpFlag } from '#shared/dataplane/inner-packet.ts'

const tcpHeader = 20
const endOfOptions = 0
const noOperation = 1
const maximumSegmentSize = 2

/**
 * Lowers the MSS that a passing SYN offers to what a path of `mtu` bytes carries (RFC 9293 §3.7.1; done by routers of tunnels since RFC 4459
 * §3.2), and mends the checksum by the difference (RFC 1624). What is no SYN, a fragment, or offers no more, stays as it is.
 */
export function clampMss(packet: InnerPacket, mtu: number): void {
  if (packet.kind !== PacketKind.Tcp || packet.fragment !== 0 || (packet.tcpFlags & TcpFlag.Syn) === 0) return
  const { bytes, transportAt } = packet
  const most = mtu - (packet.version === 4 ? 20 : 40) - tcpHeader
  const end = transportAt + (bytes[transportAt + 12]! >>> 4) * 4
  for (let at = transportAt + tcpHeader; at < end && bytes[at] !== endOfOptions; ) {
    if (bytes[at] === noOperation) {
      at++
      continue
    }
    const length = bytes[at + 1] ?? 0
    if (length < 2 || at + length > end) return
    if (bytes[at] === maximumSegmentSize && length === 4) lower(bytes, at + 2, most, transportAt)
    at += length
  }
}

function lower(bytes: Uint8Array, at: number, most: number, transportAt: number): void {
  const offered = (bytes[at]! << 8) | bytes[at + 1]!
  if (offered <= most || most <= 0) return
  const sumAt = transportAt + 16
  // An option at an odd offset lies across two of the words that are summed: its bytes count swapped.
  const swap = (word: number): number => ((at - transportAt) % 2 === 0 ? word : ((word & 0xff) << 8) | (word >>> 8))
  let sum = (~((bytes[sumAt]! << 8) | bytes[sumAt + 1]!) & 0xffff) + (~swap(offered) & 0xffff) + swap(most)
  sum = (sum & 0xffff) + (sum >>> 16)
  sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff
  bytes[at] = most >>> 8
  bytes[at + 1] = most & 0xff
  bytes[sumAt] = sum >>> 8
  bytes[sumAt + 1] = sum & 0xff
}
