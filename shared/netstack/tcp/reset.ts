import { returnScratch, takeScratch } from '#shared/netstack/scratch.ts'
import { plus } from '#shared/netstack/tcp/sequence.ts'
import type { TimeWait } from '#shared/netstack/tcp/time-wait.ts'
import type { Transmitter } from '#shared/netstack/transmitter.ts'
import { foldChecksum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import { type IpPacket, Protocol } from '#shared/wire/ip-packet.ts'
import { TCP_HEADER_LENGTH, TcpFlag, type TcpSegment } from '#shared/wire/tcp.ts'

/** Answers a segment that meets no connection (RFC 9293 §3.10.7.1). */
export function sendBareReset(transmitter: Transmitter, packet: IpPacket, bytes: Uint8Array, s: TcpSegment): void {
  const source = bytes.subarray(packet.destination, packet.destination + packet.addressLength)
  const destination = bytes.subarray(packet.source, packet.source + packet.addressLength)
  const hasAck = (s.flags & TcpFlag.Ack) !== 0
  const occupied = s.length + ((s.flags & TcpFlag.Syn) >> 1) + (s.flags & TcpFlag.Fin)
  const sequence = hasAck ? s.acknowledgement : 0
  const acknowledgement = hasAck ? 0 : plus(s.sequence, occupied)
  const flags = hasAck ? TcpFlag.Rst : TcpFlag.Rst | TcpFlag.Ack
  sendBare(transmitter, source, destination, s.destinationPort, s.sourcePort, sequence, acknowledgement, flags, undefined)
}

/** The last acknowledgement again, from TIME-WAIT. */
export function answerTimeWait(transmitter: Transmitter, record: TimeWait, s: TcpSegment, now: number): void {
  const stamp = record.timestamps ? { value: plus(record.timestampOffset, Math.floor(now)), echo: s.timestamp } : undefined
  const { local, remote, localPort, remotePort, next, received } = record
  sendBare(transmitter, local.bytes, remote, localPort, remotePort, next, received, TcpFlag.Ack, stamp)
}

function sendBare(
  transmitter: Transmitter,
  source: Uint8Array,
  destination: Uint8Array,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgement: number,
  flags: number,
  stamp: { value: number; echo: number } | undefined,
): void {
  const scratch = takeScratch()
  const { view, bytes } = scratch
  const start = transmitter.headerLength(destination)
  const size = TCP_HEADER_LENGTH + (stamp === undefined ? 0 : 12)
  bytes.fill(0, start, start + size)
  view.setUint16(start, sourcePort)
  view.setUint16(start + 2, destinationPort)
  view.setInt32(start + 4, sequence)
  view.setInt32(start + 8, acknowledgement)
  view.setUint16(start + 12, (size << 10) | flags)
  if (stamp !== undefined) {
    view.setUint16(start + 14, 1)
    view.setInt32(start + 20, 0x0101_080a)
    view.setInt32(start + 24, stamp.value)
    view.setInt32(start + 28, stamp.echo)
  }
  let pseudo = swap16(Protocol.Tcp) + swap16(size)
  for (let i = 0; i < source.length; i += 2) {
    pseudo += source[i]! + (source[i + 1]! << 8) + destination[i]! + (destination[i + 1]! << 8)
  }
  view.setUint16(start + 16, foldChecksum(sumWords(view, start, start + size, pseudo)), true)
  transmitter.send(scratch, source, destination, Protocol.Tcp, size)
  returnScratch(scratch)
}
