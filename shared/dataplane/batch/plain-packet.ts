import type { PacketMemory } from '#shared/dataplane/batch/packet-memory.ts'
import { Protocol, TcpFlag } from '#shared/dataplane/inner-packet.ts'

const ipv4Header = 20
const ipv6Header = 40
const udpHeader = 8
const echoHeader = 8
const tcpHeader = 20

/** More fragments, an offset, or the reserved bit; don't-fragment is what is left (RFC 791 §3.1). In memory order. */
const fragmentBits = 0xffbf
/** What a segment in the midst of a connection may carry: ACK, PSH, ECE, CWR. */
const midstreamFlags = 0xd8

/**
 * A packet of the plain shape, which may follow a flow that has been let pass: TCP in the midst of its connection, UDP and echoes, whole,
 * in IPv4 without options or IPv6 without extension headers, all lengths agreeing. It is stricter than `InnerPacket`: whatever
 * that refuses is not plain, nor is what only it can judge (SYN, FIN, RST, fragments, errors). Read in place and used again; numbers
 * are 32-bit integers.
 */
export class PlainPacket {
  version = 0
  /** 6, 17, 1 (an IPv4 echo) or 58 (an IPv6 one). */
  protocol = 0
  /** The source address, four bytes a word, the first one lowest. IPv4: `s0` only. */
  s0 = 0
  s1 = 0
  s2 = 0
  s3 = 0
  /** The destination, likewise. */
  d0 = 0
  d1 = 0
  d2 = 0
  d3 = 0
  /** Source port in the upper half, destination port in the lower; of an echo its identifier. */
  ports = 0
  /** An echo reply. */
  isReply = false
  /** Bytes of the IP header. */
  headerLength = 0
  /** Bytes of the transport header. */
  transportLength = 0
  /** Where the payload begins in the memory. */
  payloadAt = 0
  /** Bytes of the IP packet; what follows is the tunnel's padding. */
  length = 0
  hopLimit = 0
  tcpFlags = 0

  /** Whether the `length` bytes at `at` (even, else nothing is plain) hold a plain packet and maybe padding. The fields are good only then. */
  read(memory: PacketMemory, at: number, length: number): boolean {
    if (length < ipv4Header + udpHeader || (at & 1) !== 0) return false
    const version = memory.bytes[at]! >>> 4
    if (version === 4) return this.#readIpv4(memory, at, length)
    return version === 6 && this.#readIpv6(memory, at, length)
  }

  #readIpv4(memory: PacketMemory, at: number, available: number): boolean {
    const { bytes, view } = memory
    const total = view.getUint16(at + 2)
    if (bytes[at] !== 0x45 || total > available || (memory.halves[(at + 6) >> 1]! & fragmentBits) !== 0) return false
    this.version = 4
    this.headerLength = ipv4Header
    this.length = total
    this.hopLimit = bytes[at + 8]!
    this.s0 = view.getInt32(at + 12, true)
    this.d0 = view.getInt32(at + 16, true)
    this.s1 = this.s2 = this.s3 = this.d1 = this.d2 = this.d3 = 0
    return this.#readTransport(memory, at + ipv4Header, bytes[at + 9]!, total - ipv4Header)
  }

  #readIpv6(memory: PacketMemory, at: number, available: number): boolean {
    const { bytes, view } = memory
    if (available < ipv6Header + udpHeader) return false
    const room = view.getUint16(at + 4)
    if (room + ipv6Header > available) return false
    this.version = 6
    this.headerLength = ipv6Header
    this.length = room + ipv6Header
    this.hopLimit = bytes[at + 7]!
    this.s0 = view.getInt32(at + 8, true)
    this.s1 = view.getInt32(at + 12, true)
    this.s2 = view.getInt32(at + 16, true)
    this.s3 = view.getInt32(at + 20, true)
    this.d0 = view.getInt32(at + 24, true)
    this.d1 = view.getInt32(at + 28, true)
    this.d2 = view.getInt32(at + 32, true)
    this.d3 = view.getInt32(at + 36, true)
    return this.#readTransport(memory, at + ipv6Header, bytes[at + 6]!, room)
  }

  /** `room`: bytes of transport header and payload, may be too few or negative. */
  #readTransport(memory: PacketMemory, at: number, protocol: number, room: number): boolean {
    const { bytes, view } = memory
    this.protocol = protocol
    this.isReply = false
    this.tcpFlags = 0
    if (protocol === Protocol.Tcp) {
      if (room < tcpHeader) return false
      const header = (bytes[at + 12]! >>> 4) * 4
      const flags = bytes[at + 13]!
      if (header < tcpHeader || header > room || (flags & ~midstreamFlags) !== 0 || (flags & TcpFlag.Ack) === 0) return false
      this.tcpFlags = flags
      this.transportLength = header
      this.payloadAt = at + header
      this.ports = view.getInt32(at)
      return true
    }
    if (protocol === Protocol.Udp) {
      if (room < udpHeader || view.getUint16(at + 4) !== room) return false
      this.transportLength = udpHeader
      this.payloadAt = at + udpHeader
      this.ports = view.getInt32(at)
      return true
    }
    return this.#readEcho(memory, at, protocol, room)
  }

  #readEcho({ bytes, view }: PacketMemory, at: number, protocol: number, room: number): boolean {
    const four = this.version === 4
    if (protocol !== (four ? Protocol.Icmp : Protocol.Icmpv6) || room < echoHeader || bytes[at + 1] !== 0) return false
    const type = bytes[at]!
    const reply = four ? 0 : 129
    if (type !== reply && type !== (four ? 8 : 128)) return false
    this.isReply = type === reply
    this.transportLength = echoHeader
    this.payloadAt = at + echoHeader
    this.ports = view.getUint16(at + 4)
    return true
  }
}
