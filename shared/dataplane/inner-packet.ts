import { DropReason } from '#shared/drop-reason.ts'

/** Numbers of the protocols that flows are made of (IANA). */
export const Protocol = { Icmp: 1, Tcp: 6, Udp: 17, Icmpv6: 58 } as const

export const TcpFlag = { Fin: 0x01, Syn: 0x02, Rst: 0x04, Ack: 0x10 } as const

/** What a packet is to a filter. `Other` covers every protocol and ICMP message that begins no flow and answers none. */
export const PacketKind = { Tcp: 1, Udp: 2, EchoRequest: 3, EchoReply: 4, IcmpError: 5, Other: 6 } as const

const ipv4HeaderMin = 20
const ipv6Header = 40
/** Extension headers that we walk: hop-by-hop, destination options, fragment. Routing headers are refused (RFC 5095). */
const extensionLimit = 4
const hopByHop = 0
const routing = 43
const fragment = 44
const noNextHeader = 59
const destinationOptions = 60

/**
 * A view of one inner packet, read in place and used again for the next, so that the data lane makes no object. It is strict
 * lengths that do not agree, overlapping-fragment tricks (RFC 1858, 8200 §4.5), headers cut short and chains of extension
 * headers that hide the transport are malformed, never guessed at.
 */
export class InnerPacket {
  bytes: Uint8Array = new Uint8Array(0)
  /** Bytes of the IP packet itself, without the tunnel's padding. */
  length = 0
  version: 4 | 6 = 4
  /** Bytes of one address: 4 or 16. */
  width: 4 | 16 = 4
  sourceAt = 0
  destinationAt = 0
  /** IANA number of the transport. */
  protocol = 0
  /** Where the transport header begins. */
  transportAt = 0
  kind = PacketKind.Other as number
  /** TCP and UDP; for an echo both are its identifier. */
  sourcePort = 0
  destinationPort = 0
  tcpFlags = 0
  /** 0: whole. 1: first fragment, transport header readable. 2: a later one, nothing but addresses and `fragmentId` known. */
  fragment: 0 | 1 | 2 = 0
  fragmentId = 0

  /** Returns 0, or DropReason.InnerMalformed. `available` bytes of `bytes` from `start` hold the packet and maybe padding. */
  read(bytes: Uint8Array, available: number, start = 0): number {
    this.bytes = bytes
    this.kind = PacketKind.Other
    this.sourcePort = this.destinationPort = this.tcpFlags = this.fragmentId = 0
    this.fragment = 0
    if (available < ipv4HeaderMin) return DropReason.InnerMalformed
    const version = bytes[start]! >>> 4
    if (version === 4) return this.#readIpv4(available, start)
    return version === 6 ? this.#readIpv6(available, start) : DropReason.InnerMalformed
  }

  /** Reads the packet that an ICMP error quotes; only addresses and ports of it are to be trusted to exist. Returns 0 or a reason. */
  readQuoted(error: InnerPacket): number {
    const start = error.transportAt + 8
    const available = error.length - (start - error.start)
    const bytes = error.bytes
    if (available < (error.version === 4 ? ipv4HeaderMin + 8 : ipv6Header + 8)) return DropReason.InnerMalformed
    if (bytes[start]! >>> 4 !== error.version) return DropReason.InnerMalformed
    this.bytes = bytes
    this.fragment = 0
    this.#place(error.version, start)
    const header = error.version === 4 ? (bytes[start]! & 0x0f) * 4 : ipv6Header
    this.protocol = error.version === 4 ? bytes[start + 9]! : bytes[start + 6]!
    this.transportAt = start + header
    if (header < ipv4HeaderMin || available < header + 8) return DropReason.InnerMalformed
    this.length = available
    return this.#readPorts(available - header, true)
  }

  /** Where the IP header begins. */
  get start(): number {
    return this.sourceAt - (this.version === 4 ? 12 : 8)
  }

  #place(version: 4 | 6, start: number): void {
    this.version = version
    this.width = version === 4 ? 4 : 16
    this.sourceAt = start + (version === 4 ? 12 : 8)
    this.destinationAt = this.sourceAt + this.width
  }

  #readIpv4(available: number, start: number): number {
    const { bytes } = this
    const header = (bytes[start]! & 0x0f) * 4
    const total = u16(bytes, start + 2)
    if (header < ipv4HeaderMin || total < header || total > available) return DropReason.InnerMalformed
    this.#place(4, start)
    this.length = total
    this.protocol = bytes[start + 9]!
    this.transportAt = start + header
    const flags = u16(bytes, start + 6)
    const offset = flags & 0x1fff
    const more = (flags & 0x2000) !== 0
    if (offset !== 0 || more) {
      this.fragmentId = u16(bytes, start + 4)
      if (!soundFragment(offset * 8, total - header, more)) return DropReason.InnerMalformed
      this.fragment = offset === 0 ? 1 : 2
    }
    return this.fragment === 2 ? 0 : this.#readPorts(total - header, false)
  }

  #readIpv6(available: number, start: number): number {
    const { bytes } = this
    if (available < ipv6Header) return DropReason.InnerMalformed
    const total = ipv6Header + u16(bytes, start + 4)
    if (total > available) return DropReason.InnerMalformed
    this.#place(6, start)
    this.length = total
    const end = start + total
    let at = start + ipv6Header
    let next = bytes[start + 6]!
    let fragmentHeaders = 0
    for (let walked = 0; ; walked++) {
      if (next !== hopByHop && next !== destinationOptions && next !== fragment) break
      // Hop-by-hop options stand first or nowhere (RFC 8200 §4.1); one fragment header at most.
      if (walked === extensionLimit || at + 8 > end || (next === hopByHop && walked > 0)) return DropReason.InnerMalformed
      if (next === fragment) {
        if (fragmentHeaders++ > 0) return DropReason.InnerMalformed
        const field = u16(bytes, at + 2)
        const offset = field & 0xfff8
        const more = (field & 1) !== 0
        this.fragmentId = (u16(bytes, at + 4) * 0x1_0000 + u16(bytes, at + 6)) | 0
        if ((offset !== 0 || more) && !soundFragment(offset, end - at - 8, more)) return DropReason.InnerMalformed
        // An atomic fragment (RFC 6946: offset 0, no more) is a whole packet.
        if (offset !== 0 || more) this.fragment = offset === 0 ? 1 : 2
        next = bytes[at]!
        at += 8
        if (this.fragment === 2) break
      } else {
        next = bytes[at]!
        at += (bytes[at + 1]! + 1) * 8
        if (at > end) return DropReason.InnerMalformed
      }
    }
    if (next === routing) return DropReason.InnerMalformed
    this.protocol = next
    this.transportAt = at
    if (this.fragment === 2 || next === noNextHeader) return 0
    return this.#readPorts(end - at, false)
  }

  /** `room`: bytes of transport header and payload in this packet. A quoted packet may be cut after 8 of them. */
  #readPorts(room: number, quoted: boolean): number {
    const { bytes, transportAt: at, protocol } = this
    if (protocol === Protocol.Tcp) {
      if (room < (quoted ? 8 : 20)) return DropReason.InnerMalformed
      if (!quoted) {
        const header = (bytes[at + 12]! >>> 4) * 4
        if (header < 20 || header > room) return DropReason.InnerMalformed
        this.tcpFlags = bytes[at + 13]!
      }
      this.kind = PacketKind.Tcp
    } else if (protocol === Protocol.Udp) {
      if (room < 8) return DropReason.InnerMalformed
      const claimed = u16(bytes, at + 4)
      if (claimed < 8 || (this.fragment === 0 && !quoted && claimed > room)) return DropReason.InnerMalformed
      this.kind = PacketKind.Udp
    } else if (protocol === (this.version === 4 ? Protocol.Icmp : Protocol.Icmpv6)) {
      return this.#readIcmp(room)
    } else {
      this.kind = PacketKind.Other
      return 0
    }
    this.sourcePort = u16(bytes, at)
    this.destinationPort = u16(bytes, at + 2)
    return 0
  }

  #readIcmp(room: number): number {
    const { bytes, transportAt: at } = this
    if (room < 8) return DropReason.InnerMalformed
    const type = bytes[at]!
    const four = this.version === 4
    if (type === (four ? 8 : 128)) this.kind = PacketKind.EchoRequest
    else if (type === (four ? 0 : 129)) this.kind = PacketKind.EchoReply
    else if (four ? type === 3 || type === 11 || type === 12 : type >= 1 && type <= 4) this.kind = PacketKind.IcmpError
    else this.kind = PacketKind.Other
    if (this.kind === PacketKind.EchoRequest || this.kind === PacketKind.EchoReply) {
      this.sourcePort = this.destinationPort = u16(bytes, at + 4)
    }
    return 0
  }
}

/** All but the last fragment carry whole units of 8 bytes, none ends past 65535, and the first holds a whole transport header. */
function soundFragment(offset: number, payload: number, more: boolean): boolean {
  if (payload === 0 || offset + payload > 0xffff) return false
  if (more && payload % 8 !== 0) return false
  // RFC 1858 §4.2: a second fragment at 8 could rewrite the TCP flags that the first one was judged by.
  return offset === 0 || offset >= 24
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}
