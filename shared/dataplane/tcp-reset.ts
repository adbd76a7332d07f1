import { wordAt } from '#shared/bytes/word.ts'
import type { Flow } from '#shared/dataplane/flow.ts'
import { type InnerPacket, PacketKind, TcpFlag } from '#shared/dataplane/inner-packet.ts'
import { foldChecksum, sumWords, swap16 } from '#shared/wire/checksum.ts'

/**
 * Resets that a router of flows sends in an end's place, so that a refused conversation ends at once and a revoked one does not
 * leave a person before a silent terminal. Each carries the one sequence number that its receiver takes (RFC 9293 §3.10.7.4).
 */

/** Bytes that any reset needs: an IPv6 and a TCP header. */
export const resetLimit = 60

const tcpHeader = 20
const hopLimit = 64
const tcp = 6

interface Reset {
  readonly width: 4 | 16
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly acknowledgement?: number
}

/** The reset that answers a refused packet (RFC 9293 §3.10.7.1), in `out`. Returns its length; 0 where none is due. */
export function resetInAnswer(packet: InnerPacket, out: Uint8Array): number {
  if (packet.kind !== PacketKind.Tcp || packet.fragment !== 0 || (packet.tcpFlags & TcpFlag.Rst) !== 0) return 0
  const { bytes, width, sourceAt, destinationAt, tcpFlags } = packet
  const answer = {
    width,
    source: bytes.subarray(destinationAt, destinationAt + width),
    destination: bytes.subarray(sourceAt, sourceAt + width),
    sourcePort: packet.destinationPort,
    destinationPort: packet.sourcePort,
  }
  if ((tcpFlags & TcpFlag.Ack) !== 0) return write({ ...answer, sequence: acknowledgementOf(packet) }, out)
  return write({ ...answer, sequence: 0, acknowledgement: sequenceAfter(packet) }, out)
}

/**
 * The resets to one end of an open TCP flow, in the other's name: for the sequence number that it acknowledged last and, where more has
 * been sent to it since, for the end of that too, since an acknowledgement may be on its way. None while the flow is opening.
 */
export function* resetsOfFlow(flow: Flow, to: 'initiator' | 'responder', out: Uint8Array): Iterable<Uint8Array> {
  const heard = to === 'initiator' ? flow.forward : flow.back
  const told = to === 'initiator' ? flow.back : flow.forward
  if (flow.protocol !== tcp || heard.acknowledgement === undefined) return
  const reset = {
    width: flow.width,
    source: to === 'initiator' ? flow.responderBytes : flow.initiatorBytes,
    destination: to === 'initiator' ? flow.initiatorBytes : flow.responderBytes,
    sourcePort: to === 'initiator' ? flow.responderPort : flow.initiatorPort,
    destinationPort: to === 'initiator' ? flow.initiatorPort : flow.responderPort,
  }
  yield out.subarray(0, write({ ...reset, sequence: heard.acknowledgement }, out))
  if (told.end !== undefined && told.end !== heard.acknowledgement)
    yield out.subarray(0, write({ ...reset, sequence: told.end }, out))
}

/** What the sender of a TCP packet expects next; a 32-bit integer. */
export const acknowledgementOf = ({ bytes, transportAt }: InnerPacket): number => wordAt(bytes, transportAt + 8)

/** The sequence number behind a TCP packet's last byte, SYN and FIN counted; a 32-bit integer. */
export function sequenceAfter(packet: InnerPacket): number {
  const { bytes, transportAt, tcpFlags } = packet
  const payload = packet.start + packet.length - transportAt - (bytes[transportAt + 12]! >> 4) * 4
  const flags = ((tcpFlags & TcpFlag.Syn) !== 0 ? 1 : 0) + ((tcpFlags & TcpFlag.Fin) !== 0 ? 1 : 0)
  return (wordAt(bytes, transportAt + 4) + payload + flags) | 0
}

function write(reset: Reset, out: Uint8Array): number {
  const { width, source, destination } = reset
  const ipHeader = width === 4 ? 20 : 40
  const length = ipHeader + tcpHeader
  const view = viewOf(out)
  out.fill(0, 0, length)
  if (width === 4) {
    out[0] = 0x45
    view.setUint16(2, length)
    out[8] = hopLimit
    out[9] = tcp
    out.set(source, 12)
    out.set(destination, 16)
    view.setUint16(10, foldChecksum(sumWords(view, 0, ipHeader)), true)
  } else {
    out[0] = 0x60
    view.setUint16(4, tcpHeader)
    out[6] = tcp
    out[7] = hopLimit
    out.set(source, 8)
    out.set(destination, 24)
  }
  const flags = TcpFlag.Rst | (reset.acknowledgement === undefined ? 0 : TcpFlag.Ack)
  view.setUint16(ipHeader, reset.sourcePort)
  view.setUint16(ipHeader + 2, reset.destinationPort)
  view.setInt32(ipHeader + 4, reset.sequence)
  view.setInt32(ipHeader + 8, reset.acknowledgement ?? 0)
  out[ipHeader + 12] = (tcpHeader / 4) << 4
  out[ipHeader + 13] = flags
  const addresses = sumWords(view, ipHeader - 2 * width, ipHeader, swap16(tcp) + swap16(tcpHeader))
  view.setUint16(ipHeader + 16, foldChecksum(sumWords(view, ipHeader, length, addresses)), true)
  return length
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
