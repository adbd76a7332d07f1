import { foldChecksum, pseudoHeaderSum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'

/** An IPv6 packet around `payload`; `protocol` is the first next header. */
export function ipv6(source: string, destination: string, protocol: number, payload: Uint8Array, hopLimit = 64): Uint8Array {
  const packet = new Uint8Array(40 + payload.length)
  const view = new DataView(packet.buffer)
  view.setUint32(0, 0x6000_0000)
  view.setUint16(4, payload.length)
  packet[6] = protocol
  packet[7] = hopLimit
  packet.set(parseAddress(source), 8)
  packet.set(parseAddress(destination), 24)
  packet.set(payload, 40)
  return packet
}

/** An IPv4 packet; `fragment` is the flags and offset field. */
export function ipv4(
  source: string,
  destination: string,
  protocol: number,
  payload: Uint8Array,
  fragment = 0,
  id = 7,
): Uint8Array {
  const packet = new Uint8Array(20 + payload.length)
  const view = new DataView(packet.buffer)
  packet[0] = 0x45
  view.setUint16(2, packet.length)
  view.setUint16(4, id)
  view.setUint16(6, fragment)
  packet[8] = 64
  packet[9] = protocol
  packet.set(parseAddress(source), 12)
  packet.set(parseAddress(destination), 16)
  view.setUint16(10, foldChecksum(sumWords(view, 0, 20)), true)
  packet.set(payload, 20)
  return packet
}

export interface SegmentParts {
  sourcePort: number
  destinationPort: number
  sequence?: number
  acknowledgement?: number
  flags: number
  window?: number
  options?: Uint8Array
  data?: Uint8Array
}

/** A TCP segment with the right checksum. */
export function tcp(source: string, destination: string, parts: SegmentParts): Uint8Array {
  const { options = new Uint8Array(0), data = new Uint8Array(0) } = parts
  const header = 20 + options.length
  const out = new Uint8Array(header + data.length)
  const view = new DataView(out.buffer)
  view.setUint16(0, parts.sourcePort)
  view.setUint16(2, parts.destinationPort)
  view.setUint32(4, (parts.sequence ?? 0) >>> 0)
  view.setUint32(8, (parts.acknowledgement ?? 0) >>> 0)
  view.setUint16(12, (header << 10) | parts.flags)
  view.setUint16(14, parts.window ?? 65_535)
  out.set(options, 20)
  out.set(data, header)
  seal(out, 16, source, destination, 6)
  return out
}

export function udp(
  source: string,
  destination: string,
  sourcePort: number,
  destinationPort: number,
  data: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(8 + data.length)
  const view = new DataView(out.buffer)
  view.setUint16(0, sourcePort)
  view.setUint16(2, destinationPort)
  view.setUint16(4, out.length)
  out.set(data, 8)
  seal(out, 6, source, destination, 17)
  return out
}

/** Writes the checksum of an upper-layer payload at `at`. */
export function seal(payload: Uint8Array, at: number, source: string, destination: string, protocol: number): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  view.setUint16(at, 0)
  const pseudo = pseudoHeaderSum(parseAddress(source), parseAddress(destination), protocol) + swap16(payload.length)
  view.setUint16(at, foldChecksum(sumWords(view, 0, payload.length, pseudo)), true)
}
