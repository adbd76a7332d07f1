/** What a capture holds for us: the UDP and ESP datagrams of pcap and pcapng files, gzipped or not. Only what captures of tests need. */
import { gunzipSync } from 'node:zlib'
import { formatAddress } from '#shared/wire/ip-address.ts'

export interface Frame {
  /** Counted from 1, of the capture. */
  readonly number: number
  readonly source: string
  readonly destination: string
  /** Undefined: ESP right in IP (protocol 50). */
  readonly ports: readonly [source: number, destination: number] | undefined
  /** UDP payload, or the whole ESP packet. */
  readonly payload: Uint8Array
}

/** Classic pcap with microseconds or nanoseconds, in either byte order, read as big-endian; true: its words are little-endian. */
const classic: Readonly<Record<number, boolean>> = {
  2712847316: false,
  2712812621: false,
  3569595041: true,
  1295823521: true,
}
/** A pcapng section header block (the type reads the same in both orders), and the byte-order magic within it. */
const SECTION_HEADER = 0x0a0d0d0a
const LITTLE_ENDIAN_MAGIC = 0x4d3c2b1a
const INTERFACE_DESCRIPTION = 1
const ENHANCED_PACKET = 6
const GZIP = 0x1f8b

/** Bytes before the IP header, by link type: null, Ethernet, raw IP, Linux cooked, BSD loop, raw IPv4 and IPv6, Linux cooked v2. */
const linkHeaders: Readonly<Record<number, number>> = { 0: 4, 1: 14, 12: 0, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20 }

const UDP = 17
const ESP = 50

export const isCapture = (contents: unknown): contents is Uint8Array =>
  contents instanceof Uint8Array && contents.length >= 24 && hasMagic(unzipped(contents))

/** Frames in the order of the capture; undefined for one that is neither UDP nor ESP, or that was cut. */
export function framesOf(contents: Uint8Array): (Frame | undefined)[] {
  const bytes = unzipped(contents)
  const packets = wordAt(bytes, 0) === SECTION_HEADER ? packetsOfNg(bytes) : packetsOfClassic(bytes)
  return packets.map((packet, index) => (packet === undefined ? undefined : frameOf(index + 1, packet)))
}

function unzipped(contents: Uint8Array): Uint8Array {
  if (contents[0] !== GZIP >> 8 || contents[1] !== (GZIP & 0xff)) return contents
  try {
    return gunzipSync(contents)
  } catch {
    return contents
  }
}

const wordAt = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0)

const hasMagic = (bytes: Uint8Array): boolean =>
  bytes.length >= 24 && (wordAt(bytes, 0) === SECTION_HEADER || wordAt(bytes, 0) in classic)

/** IP packets; undefined where the link type is not known. */
type Packets = (Uint8Array | undefined)[]

function packetsOfClassic(bytes: Uint8Array): Packets {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isLittle = classic[wordAt(bytes, 0)]!
  const skip = linkHeaders[view.getUint32(20, isLittle) & 0xffff]
  const packets: Packets = []
  for (let at = 24; at + 16 <= bytes.length; ) {
    const length = view.getUint32(at + 8, isLittle)
    packets.push(skip === undefined ? undefined : bytes.subarray(at + 16 + skip, at + 16 + length))
    at += 16 + length
  }
  return packets
}

function packetsOfNg(bytes: Uint8Array): Packets {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const packets: Packets = []
  let isLittle = false
  let skips: (number | undefined)[] = []
  for (let at = 0; at + 12 <= bytes.length; ) {
    if (view.getUint32(at) === SECTION_HEADER) {
      isLittle = view.getUint32(at + 8) === LITTLE_ENDIAN_MAGIC
      skips = []
    }
    const type = view.getUint32(at, isLittle)
    const length = view.getUint32(at + 4, isLittle)
    if (length < 12) break
    if (type === INTERFACE_DESCRIPTION) skips.push(linkHeaders[view.getUint16(at + 8, isLittle)])
    if (type === ENHANCED_PACKET) {
      const skip = skips[view.getUint32(at + 8, isLittle)]
      const captured = view.getUint32(at + 20, isLittle)
      packets.push(skip === undefined ? undefined : bytes.subarray(at + 28 + skip, at + 28 + captured))
    }
    at += length
  }
  return packets
}

function frameOf(number: number, packet: Uint8Array): Frame | undefined {
  const isV4 = (packet[0] ?? 0) >> 4 === 4
  const headerLength = isV4 ? (packet[0]! & 0xf) * 4 : 40
  if (packet.length < headerLength + 8 || (!isV4 && packet[0]! >> 4 !== 6)) return undefined
  const total = isV4 ? (packet[2]! << 8) | packet[3]! : 40 + ((packet[4]! << 8) | packet[5]!)
  const protocol = isV4 ? packet[9] : packet[6]
  const inside = packet.subarray(headerLength, total)
  const size = isV4 ? 4 : 16
  const addressAt = isV4 ? 12 : 8
  const where = {
    number,
    source: formatAddress(packet, addressAt, size),
    destination: formatAddress(packet, addressAt + size, size),
  }
  if (protocol === ESP) return { ...where, ports: undefined, payload: inside }
  if (protocol !== UDP || inside.length < 8) return undefined
  const word = (at: number): number => (inside[at]! << 8) | inside[at + 1]!
  return { ...where, ports: [word(0), word(2)], payload: inside.subarray(8, word(4)) }
}
