/** Plain builders of inner packets, written for reading and not for speed. */
import { parseAddress } from '#shared/wire/ip-address.ts'

export interface PacketSpec {
  from: string
  to: string
  protocol?: number
  /** Transport header and payload. */
  body?: Uint8Array
  ttl?: number
  /** IPv4: flags and offset field; with `id`. */
  fragmentField?: number
  id?: number
}

export function ipPacket({
  from,
  to,
  protocol = 17,
  body = udp(1, 2),
  ttl = 64,
  fragmentField = 0,
  id = 0,
}: PacketSpec): Uint8Array {
  const source = parseAddress(from)
  const destination = parseAddress(to)
  if (source.length === 16) {
    const out = new Uint8Array(40 + body.length)
    out[0] = 0x60
    new DataView(out.buffer).setUint16(4, body.length)
    out[6] = protocol
    out[7] = ttl
    out.set(source, 8)
    out.set(destination, 24)
    out.set(body, 40)
    return out
  }
  const out = new Uint8Array(20 + body.length)
  const view = new DataView(out.buffer)
  out[0] = 0x45
  view.setUint16(2, out.length)
  view.setUint16(4, id)
  view.setUint16(6, fragmentField)
  out[8] = ttl
  out[9] = protocol
  out.set(source, 12)
  out.set(destination, 16)
  view.setUint16(10, ipv4Checksum(out))
  out.set(body, 20)
  return out
}

export function ipv4Checksum(header: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < 20; i += 2) if (i !== 10) sum += (header[i]! << 8) | header[i + 1]!
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

export function udp(from: number, to: number, payload = new Uint8Array(8)): Uint8Array {
  const out = new Uint8Array(8 + payload.length)
  const view = new DataView(out.buffer)
  view.setUint16(0, from)
  view.setUint16(2, to)
  view.setUint16(4, out.length)
  out.set(payload, 8)
  return out
}

export function tcp(from: number, to: number, flags: number, payload = new Uint8Array(0)): Uint8Array {
  const out = new Uint8Array(20 + payload.length)
  const view = new DataView(out.buffer)
  view.setUint16(0, from)
  view.setUint16(2, to)
  out[12] = 5 << 4
  out[13] = flags
  out.set(payload, 20)
  return out
}

/** `type` 8 and 0 for IPv4, 128 and 129 for IPv6. */
export function echo(type: number, id: number): Uint8Array {
  const out = new Uint8Array(16)
  out[0] = type
  new DataView(out.buffer).setUint16(4, id)
  return out
}

/** An extension header of 8 bytes: next, length 0, then `rest`. */
export function extension(next: number, body: Uint8Array, rest: readonly number[] = [0, 0, 0, 0, 0, 0], length = 0): Uint8Array {
  return Uint8Array.of(next, length, ...rest, ...body)
}
