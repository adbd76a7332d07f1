/** Whole packets of a flow with right checksums, made slowly and in network order: what the batch code is judged by. */
import { parseAddress } from '#shared/wire/ip-address.ts'

export interface FlowPacket {
  version?: 4 | 6
  kind?: 'tcp' | 'udp'
  payload?: Uint8Array
  id?: number
  dontFragment?: boolean
  tos?: number
  ttl?: number
  flowLabel?: number
  /** IPv4 options, or an IPv6 extension header of destination options (a multiple of 4, or of 8 bytes). */
  ipOptions?: Uint8Array
  sourcePort?: number
  sequence?: number
  acknowledgement?: number
  flags?: number
  window?: number
  urgent?: number
  tcpOptions?: Uint8Array
  /** Instead of the right one. */
  checksum?: number
}

const v4 = ['10.0.0.1', '10.0.0.2'].map(parseAddress)
const v6 = ['fd00::1', 'fd00::2:7'].map(parseAddress)

export const timestamps = Uint8Array.of(1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4)

export function flowPacket(of: FlowPacket = {}): Uint8Array {
  const { version = 4, payload = new Uint8Array(0), kind = 'tcp' } = of
  const transport = kind === 'tcp' ? tcpHeader(of) : udpHeader(of, payload.length)
  const protocol = kind === 'tcp' ? 6 : 17
  const ip =
    version === 4
      ? ipv4Header(of, protocol, transport.length + payload.length)
      : ipv6Header(of, protocol, transport.length + payload.length)
  const out = new Uint8Array(ip.length + transport.length + payload.length)
  out.set(ip)
  out.set(transport, ip.length)
  out.set(payload, ip.length + transport.length)
  const [source, destination] = version === 4 ? v4 : v6
  const segment = out.subarray(ip.length)
  const pseudo = Uint8Array.of(...source!, ...destination!, 0, 0, segment.length >>> 8, segment.length & 0xff, 0, protocol)
  const right = ~slowSum(Uint8Array.of(...pseudo, ...segment)) & 0xffff
  const checksum = of.checksum ?? (kind === 'udp' && right === 0 ? 0xffff : right)
  new DataView(out.buffer).setUint16(ip.length + (kind === 'tcp' ? 16 : 6), checksum)
  return out
}

/** RFC 1071 in network order, folded at each step. */
export function slowSum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return sum
}

/** A virtio header (linux/virtio_net.h), little-endian. */
export function virtioHeader(
  flags: number,
  gso: number,
  headers: number,
  size: number,
  start: number,
  offset: number,
): Uint8Array {
  const out = new Uint8Array(10)
  const view = new DataView(out.buffer)
  out[0] = flags
  out[1] = gso
  for (const [i, value] of [headers, size, start, offset].entries()) view.setUint16(2 + 2 * i, value, true)
  return out
}

function tcpHeader(of: FlowPacket): Uint8Array {
  const { tcpOptions = new Uint8Array(0) } = of
  const out = new Uint8Array(20 + tcpOptions.length)
  const view = new DataView(out.buffer)
  view.setUint16(0, of.sourcePort ?? 40_000)
  view.setUint16(2, 22)
  view.setUint32(4, of.sequence ?? 1000)
  view.setUint32(8, of.acknowledgement ?? 7)
  out[12] = (out.length / 4) << 4
  out[13] = of.flags ?? 0x10
  view.setUint16(14, of.window ?? 512)
  view.setUint16(18, of.urgent ?? 0)
  out.set(tcpOptions, 20)
  return out
}

function udpHeader(of: FlowPacket, payload: number): Uint8Array {
  const out = new Uint8Array(8)
  const view = new DataView(out.buffer)
  view.setUint16(0, of.sourcePort ?? 40_000)
  view.setUint16(2, 53)
  view.setUint16(4, 8 + payload)
  return out
}

function ipv4Header(of: FlowPacket, protocol: number, room: number): Uint8Array {
  const { ipOptions = new Uint8Array(0) } = of
  const out = new Uint8Array(20 + ipOptions.length)
  const view = new DataView(out.buffer)
  out[0] = 0x40 | (out.length / 4)
  out[1] = of.tos ?? 0
  view.setUint16(2, out.length + room)
  view.setUint16(4, of.id ?? 0)
  view.setUint16(6, (of.dontFragment ?? true) ? 0x4000 : 0)
  out[8] = of.ttl ?? 64
  out[9] = protocol
  out.set(v4[0]!, 12)
  out.set(v4[1]!, 16)
  out.set(ipOptions, 20)
  view.setUint16(10, ~slowSum(out) & 0xffff)
  return out
}

function ipv6Header(of: FlowPacket, protocol: number, room: number): Uint8Array {
  const { ipOptions = new Uint8Array(0) } = of
  const out = new Uint8Array(40 + ipOptions.length)
  const view = new DataView(out.buffer)
  view.setUint32(0, 0x6000_0000 + (of.tos ?? 0) * 0x10_0000 + (of.flowLabel ?? 0))
  view.setUint16(4, ipOptions.length + room)
  out[6] = ipOptions.length === 0 ? protocol : 60
  out[7] = of.ttl ?? 64
  out.set(v6[0]!, 8)
  out.set(v6[1]!, 24)
  if (ipOptions.length > 0) {
    out.set(ipOptions, 40)
    out[40] = protocol
    out[41] = ipOptions.length / 8 - 1
  }
  return out
}
