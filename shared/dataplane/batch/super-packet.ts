import type { PacketMemory } from '#shared/dataplane/batch/packet-memory.ts'
import { VirtioGso, virtioGsoEcn, virtioNetHeader } from '#shared/dataplane/batch/virtio-net-header.ts'
import { Protocol } from '#shared/dataplane/inner-packet.ts'

const ipv4Header = 20
const ipv6Header = 40
const tcpHeader = 20
const udpHeader = 8
const hopByHop = 0
const destinationOptions = 60
/** As in `InnerPacket`. */
const extensionLimit = 4

/**
 * The headers of a packet that is to be cut (virtio `gso_type` other than none), read strictly: the kind that the virtio header names
 * must be the packet's own, all lengths agree, and nothing is a fragment. Its `hdr_len` and `csum_start` are hints, and not looked at:
 * the packet itself says where things are. All numbers are bytes from the IP header.
 */
export class SuperPacket {
  /** More than any sound chain of headers has. */
  static readonly headersMax = 256
  version = 0
  /** 6 or 17. */
  protocol = 0
  isTcp = false
  /** Where the transport header begins: what precedes it is the IP header and its options or extensions. */
  transportStart = 0
  /** Where source and destination addresses begin, and the bytes of both. */
  addressesStart = 0
  addressesLength = 0
  /** All headers; the payload follows. */
  headers = 0
  /** Payload of each packet but the last, 1..65535. */
  size = 0

  /** Whether the `length` bytes at `at` (even) are a virtio header and a sound super-packet. The fields are good only then. */
  read(memory: PacketMemory, at: number, length: number): boolean {
    const gso = memory.bytes[at + 1]!
    const ip = at + virtioNetHeader
    const room = length - virtioNetHeader
    if (room < ipv4Header + udpHeader) return false
    this.isTcp = (gso & ~virtioGsoEcn) !== VirtioGso.UdpL4
    this.protocol = this.isTcp ? Protocol.Tcp : Protocol.Udp
    this.version = memory.bytes[ip]! >>> 4
    this.size = memory.halves[(at + 4) >> 1]!
    if (this.size === 0 || !this.#agrees(gso)) return false
    if (!(this.version === 4 ? this.#readIpv4(memory, ip, room) : this.#readIpv6(memory, ip, room))) return false
    return this.#readTransport(memory, ip, room)
  }

  #agrees(gso: number): boolean {
    if (this.version !== 4 && this.version !== 6) return false
    if (!this.isTcp) return gso === VirtioGso.UdpL4
    return (gso & ~virtioGsoEcn) === (this.version === 4 ? VirtioGso.Tcp4 : VirtioGso.Tcp6)
  }

  #readIpv4({ bytes, view }: PacketMemory, ip: number, room: number): boolean {
    const header = (bytes[ip]! & 0x0f) * 4
    this.addressesStart = 12
    this.addressesLength = 8
    this.transportStart = header
    const fragmented = (view.getUint16(ip + 6) & 0x3fff) !== 0
    return header >= ipv4Header && !fragmented && view.getUint16(ip + 2) === room && bytes[ip + 9] === this.protocol
  }

  #readIpv6({ bytes, view }: PacketMemory, ip: number, room: number): boolean {
    if (room < ipv6Header || view.getUint16(ip + 4) !== room - ipv6Header) return false
    this.addressesStart = 8
    this.addressesLength = 32
    let start = ipv6Header
    let next = bytes[ip + 6]!
    for (let walked = 0; next === hopByHop || next === destinationOptions; walked++) {
      if (walked === extensionLimit || (next === hopByHop && walked > 0) || start + 8 > room) return false
      next = bytes[ip + start]!
      start += (bytes[ip + start + 1]! + 1) * 8
    }
    this.transportStart = start
    return next === this.protocol
  }

  #readTransport({ bytes, view }: PacketMemory, ip: number, room: number): boolean {
    const start = this.transportStart
    let header = udpHeader
    if (this.isTcp) {
      if (start + tcpHeader > room) return false
      header = (bytes[ip + start + 12]! >>> 4) * 4
      if (header < tcpHeader) return false
    } else if (start + udpHeader > room || view.getUint16(ip + start + 4) !== room - start) return false
    this.headers = start + header
    return this.headers <= room && this.headers <= SuperPacket.headersMax
  }
}
