import { returnScratch, takeScratch } from '#shared/netstack/scratch.ts'
import { NEVER, type TcpConnection, WINDOW_SCALE } from '#shared/netstack/tcp/connection.ts'
import { distance } from '#shared/netstack/tcp/sequence.ts'
import { TcpState } from '#shared/netstack/tcp/state.ts'
import type { Transmitter } from '#shared/netstack/transmitter.ts'
import { foldChecksum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import { Protocol } from '#shared/wire/ip-packet.ts'
import { TCP_HEADER_LENGTH, TCP_MAX_HEADER_LENGTH, TcpFlag } from '#shared/wire/tcp.ts'

const blocks = new Int32Array(8)

/** Builds one segment of a connection in borrowed memory and sends it. `offset`, `length`: payload in the send buffer. */
export function writeSegment(
  c: TcpConnection,
  transmitter: Transmitter,
  sequence: number,
  flags: number,
  offset: number,
  length: number,
  now: number,
): void {
  const scratch = takeScratch()
  const { bytes, view } = scratch
  const start = transmitter.headerLength(c.remote)
  let at = start + TCP_HEADER_LENGTH
  if ((flags & TcpFlag.Syn) !== 0) at = writeSynOptions(c, view, at, now)
  else {
    if (c.timestamps) {
      // Two NOPs, kind 8, length 10: the layout of RFC 7323 appendix A.
      view.setInt32(at, 0x0101_080a)
      view.setInt32(at + 4, c.timestampAt(now))
      view.setInt32(at + 8, c.recentTimestamp)
      at += 12
    }
    if (c.sackAllowed && (flags & TcpFlag.Rst) === 0) at = writeSacks(c, view, at, start, length)
  }
  const headerLength = at - start
  if (length > 0) c.sendBuffer!.copyTo(offset, length, bytes, at)
  view.setUint16(start, c.localPort)
  view.setUint16(start + 2, c.remotePort)
  view.setInt32(start + 4, sequence)
  view.setInt32(start + 8, (flags & TcpFlag.Ack) !== 0 ? c.received : 0)
  view.setUint16(start + 12, (headerLength << 10) | flags)
  view.setUint16(start + 14, windowField(c, flags))
  view.setUint32(start + 16, 0)
  const size = headerLength + length
  view.setUint16(start + 16, foldChecksum(sumWords(view, start, start + size, c.pseudo + swap16(size))), true)
  if ((flags & TcpFlag.Ack) !== 0) {
    c.ackNow = false
    c.unacknowledged = 0
    c.acknowledgeAt = NEVER
    c.lastAckSent = c.received
  }
  transmitter.send(scratch, c.local.bytes, c.remote, Protocol.Tcp, size)
  returnScratch(scratch)
}

/** The window as the header tells it, and as it is remembered. */
function windowField(c: TcpConnection, flags: number): number {
  if (c.state === TcpState.SynSent) return Math.min(c.receiveLimit, 65_535)
  c.advertised = c.rightEdge()
  const window = Math.max(0, distance(c.advertised, c.received))
  return Math.min(65_535, (flags & TcpFlag.Syn) !== 0 ? window : window >> c.receiveScale)
}

/** On a SYN everything is offered; on a SYN-ACK what the peer offered. */
function writeSynOptions(c: TcpConnection, view: DataView, from: number, now: number): number {
  const offer = c.state === TcpState.SynSent
  let at = from
  view.setUint16(at, 0x0204)
  view.setUint16(at + 2, c.host.segmentRoom(c))
  at += 4
  if (offer || c.timestamps) {
    view.setUint16(at, offer || c.sackAllowed ? 0x0402 : 0x0101)
    view.setUint16(at + 2, 0x080a)
    view.setInt32(at + 4, c.timestampAt(now))
    view.setInt32(at + 8, offer ? 0 : c.recentTimestamp)
    at += 12
  } else if (c.sackAllowed) {
    view.setInt32(at, 0x0101_0402)
    at += 4
  }
  if (offer || c.receiveScale > 0) {
    view.setInt32(at, 0x0103_0300 | WINDOW_SCALE)
    at += 4
  }
  return at
}

/** What came twice, then what is beyond the holes, as far as header and MTU have room. */
function writeSacks(c: TcpConnection, view: DataView, from: number, start: number, length: number): number {
  const queue = c.receiveQueue
  if (!c.dsack && (queue === undefined || queue.reassembly.isEmpty)) return from
  const headerRoom = TCP_MAX_HEADER_LENGTH - (from - start)
  const segmentRoom = c.mss - length
  const most = Math.min(headerRoom, segmentRoom) < 12 ? 0 : Math.min(4, (Math.min(headerRoom, segmentRoom) - 4) >> 3)
  if (most === 0) return from
  let count = 0
  let at = from + 4
  if (c.dsack) {
    c.dsack = false
    view.setInt32(at, c.dsackStart)
    view.setInt32(at + 4, c.dsackEnd)
    at += 8
    count++
  }
  const found = queue === undefined ? 0 : queue.reassembly.blocks(blocks, most - count)
  for (let i = 0; i < found * 2; i++, at += 4) view.setInt32(at, blocks[i]!)
  count += found
  view.setInt32(from, 0x0101_0500 | (2 + 8 * count))
  return at
}
