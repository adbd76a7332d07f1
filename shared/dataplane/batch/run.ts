import { finish, fold, networkHalf, type Sum, sumOver } from '#shared/dataplane/batch/checksum.ts'
import type { PacketMemory } from '#shared/dataplane/batch/packet-memory.ts'
import type { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import {
  tcpChecksumOffset,
  udpChecksumOffset,
  VirtioGso,
  virtioNetHeader,
  writeSuperPacket,
  writeWholePacket,
} from '#shared/dataplane/batch/virtio-net-header.ts'
import { Protocol } from '#shared/dataplane/inner-packet.ts'

/** Bytes of IP packet at most; an IPv6 one could have 40 more. */
const totalMax = 65_535
/** Linux takes no more datagrams in one (UDP_MAX_SEGMENTS, linux/udp.h, before 6.9), and the pieces are to fit one writev. */
const piecesMax = 64

const pushFlag = 0x08
const congestionWindowReduced = 0x80
/** PSH as it stands in the half of data offset and flags, and don't-fragment in its own, in memory order. */
const pushBit = 0x0800
const dontFragmentBit = 0x0040

/** How the IPv4 identification goes on within a run. */
const Ids = { Unknown: 0, Counting: 1, Constant: 2 } as const

/**
 * Packets of one flow, in the order in which they came, that a TUN can take as one (TSO, USO). Only what the receiver could as well have
 * been sent as one, and what the kernel's cutting would give back, becomes one:
 *
 *  - all headers equal but for lengths, checksums, sequence number, PSH and IPv4 identification, hence ECN, hop limit, flow label,
 *    acknowledgement, window, and all TCP options (a timestamp would be lost);
 *  - payloads of one size, the last perhaps smaller, none empty; TCP sequence numbers without gap;
 *  - identifications that count up, or stay where fragmenting is forbidden (RFC 6864);
 *  - PSH ends a run, and CWR stands alone (RFC 3168: its mark is for one packet);
 *  - every checksum was right, IPv4's header too: it is made anew below, so a wrong one would be healed.
 *
 * Packets stay where they are; a run holds only offsets. The caller knows the flow; addresses and ports are compared nevertheless.
 */
export class Run {
  readonly #memory: PacketMemory
  readonly #sum: Sum
  readonly #udp: boolean
  readonly #capacity: number
  /** What is to be written after the header of `finish`, in order; the first `pieces` entries. */
  readonly pieceAt: Int32Array
  readonly pieceLength: Int32Array
  pieces = 0
  /** Nothing more will be taken: the run may be finished at once. */
  full = true
  #at = 0
  #version = 0
  #protocol = 0
  #ipHeader = 0
  #headers = 0
  /** Payload of each packet but the last, and bytes of all so far with headers. */
  #size = 0
  #total = 0
  #sequence = 0
  #ids: number = Ids.Unknown
  #verified = false
  #pushed = false
  /** Sum of addresses and protocol, once the first packet has been verified. */
  #pseudoSum = 0

  /** `udp`: whether the TUN takes USO; else datagrams stay alone. `capacity` in packets, 1..64. */
  constructor(memory: PacketMemory, { udp, capacity = piecesMax }: { udp: boolean; capacity?: number }) {
    this.#memory = memory
    this.#sum = sumOver(memory)
    this.#udp = udp
    this.#capacity = Math.min(capacity, piecesMax)
    this.pieceAt = new Int32Array(this.#capacity)
    this.pieceLength = new Int32Array(this.#capacity)
  }

  /** Begins a run with the packet that `packet` has read at `at`. */
  begin(packet: PlainPacket, at: number): void {
    this.#at = at
    this.#version = packet.version
    this.#protocol = packet.protocol
    this.#ipHeader = packet.headerLength
    this.#headers = packet.headerLength + packet.transportLength
    this.#size = packet.length - this.#headers
    this.#total = packet.length
    this.#ids = Ids.Unknown
    this.#verified = this.#pushed = false
    this.pieceAt[0] = at
    this.pieceLength[0] = packet.length
    this.pieces = 1
    this.full = this.#size === 0 || this.#capacity === 1 || !this.#mayGrow(packet)
    if (packet.protocol === Protocol.Tcp) this.#sequence = (this.#memory.view.getInt32(at + this.#ipHeader + 4) + this.#size) | 0
  }

  /** Adds the packet that `packet` has read at `at`. False: it does not belong to this run; finish this one and begin another with it. */
  append(packet: PlainPacket, at: number): boolean {
    if (this.full) return false
    const headers = packet.headerLength + packet.transportLength
    const payload = packet.length - headers
    if (headers !== this.#headers || packet.version !== this.#version || packet.protocol !== this.#protocol) return false
    if (payload === 0 || payload > this.#size || this.#total + payload > totalMax) return false
    if (!this.#continues(at) || !this.#isSound(at, packet.length)) return false
    if (this.#version === 4) this.#ids = this.#idsWith(at)
    const push = (packet.tcpFlags & pushFlag) !== 0
    this.pieceAt[this.pieces] = at + headers
    this.pieceLength[this.pieces] = payload
    this.pieces++
    this.#total += payload
    this.#sequence = (this.#sequence + payload) | 0
    this.#pushed = push
    this.full = push || payload < this.#size || this.pieces === this.#capacity
    return true
  }

  /**
   * Writes what goes before the pieces at `headerAt` (even; up to 10 + 120 bytes) and returns its length: the virtio header, and of more
   * than one packet the headers of the one that stands for them. A packet that stayed alone is one whole piece, as it came.
   */
  finish(headerAt: number): number {
    if (this.pieces === 1) {
      writeWholePacket(this.#memory, headerAt)
      return virtioNetHeader
    }
    const tcp = this.#protocol === Protocol.Tcp
    const gso = !tcp ? VirtioGso.UdpL4 : this.#version === 4 ? VirtioGso.Tcp4 : VirtioGso.Tcp6
    const checksumOffset = tcp ? tcpChecksumOffset : udpChecksumOffset
    writeSuperPacket(this.#memory, headerAt, gso, this.#headers, this.#size, this.#ipHeader, checksumOffset)
    this.#writeHeaders((headerAt + virtioNetHeader) >> 1, tcp, checksumOffset)
    this.pieceAt[0]! += this.#headers
    this.pieceLength[0]! -= this.#headers
    return virtioNetHeader + this.#headers
  }

  #mayGrow(packet: PlainPacket): boolean {
    if (packet.protocol === Protocol.Tcp) return (packet.tcpFlags & (pushFlag | congestionWindowReduced)) === 0
    return packet.protocol === Protocol.Udp && this.#udp
  }

  /** Whether the packet at `at`, of the same shape, could be the next of those that one was cut into. */
  #continues(at: number): boolean {
    const { halves, view } = this.#memory
    const mine = this.#at
    if (this.#version === 4) {
      // Type of service; fragment field and hop limit; addresses.
      if (halves[mine >> 1] !== halves[at >> 1] || !this.#equal(mine + 6, at + 6, 4) || !this.#equal(mine + 12, at + 12, 8))
        return false
      if (this.#idsWith(at) === Ids.Unknown) return false
    } else {
      // Traffic class and flow label; next header and hop limit; addresses.
      if (halves[(mine + 6) >> 1] !== halves[(at + 6) >> 1]) return false
      if (!this.#equal(mine, at, 4) || !this.#equal(mine + 8, at + 8, 32)) return false
    }
    const own = mine + this.#ipHeader
    const other = at + this.#ipHeader
    // Ports; then acknowledgement; flags; window; urgent pointer; options.
    if (!this.#equal(own, other, 4)) return false
    if (this.#protocol !== Protocol.Tcp) return true
    if (view.getInt32(other + 4) !== this.#sequence || !this.#equal(own + 8, other + 8, 4)) return false
    if (((halves[(own + 12) >> 1]! ^ halves[(other + 12) >> 1]!) & ~pushBit) !== 0) return false
    if (halves[(own + 14) >> 1] !== halves[(other + 14) >> 1] || halves[(own + 18) >> 1] !== halves[(other + 18) >> 1])
      return false
    return this.#equal(own + 20, other + 20, this.#headers - this.#ipHeader - 20)
  }

  /** `length` in bytes, whole words. */
  #equal(mine: number, other: number, length: number): boolean {
    const { view } = this.#memory
    for (let i = 0; i < length; i += 4) if (view.getInt32(mine + i, true) !== view.getInt32(other + i, true)) return false
    return true
  }

  /** How identifications would go with the packet at `at`; Unknown: they would not. */
  #idsWith(at: number): number {
    const { halves, view } = this.#memory
    const grown = (view.getUint16(at + 4) - view.getUint16(this.#at + 4)) & 0xffff
    if (grown === this.pieces && this.#ids !== Ids.Constant) return Ids.Counting
    const atomic = (halves[(at + 6) >> 1]! & dontFragmentBit) !== 0
    return grown === 0 && atomic && this.#ids !== Ids.Counting ? Ids.Constant : Ids.Unknown
  }

  /** Whether all checksums of this packet and of the first one are right; a first one that is not ends the run. */
  #isSound(at: number, length: number): boolean {
    if (!this.#verified) {
      this.#pseudoSum = this.#addressSum()
      if (!this.#verify(this.#at, this.#total)) {
        this.full = true
        return false
      }
      this.#verified = true
    }
    return this.#verify(at, length)
  }

  #verify(at: number, length: number): boolean {
    if (this.#version === 4 && fold(this.#ipv4Sum(at)) !== 0xffff) return false
    // 0 in UDP: there is none, and then none may be made up.
    if (this.#protocol === Protocol.Udp && this.#memory.halves[(at + this.#ipHeader + udpChecksumOffset) >> 1] === 0) return false
    const transport = length - this.#ipHeader
    return fold(this.#pseudoSum + networkHalf(transport) + this.#sum(at + this.#ipHeader, transport)) === 0xffff
  }

  /** Of an IPv4 header without options. */
  #ipv4Sum(at: number): number {
    const { view } = this.#memory
    let sum = 0
    for (let i = 0; i < 20; i += 4) {
      const word = view.getInt32(at + i, true)
      sum += (word & 0xffff) + (word >>> 16)
    }
    return sum
  }

  #addressSum(): number {
    const { halves } = this.#memory
    const four = this.#version === 4
    let sum = networkHalf(this.#protocol)
    const from = (this.#at + (four ? 12 : 8)) >> 1
    for (let i = 0; i < (four ? 4 : 16); i++) sum += halves[from + i]!
    return sum
  }

  /** Of the first packet, with the lengths of all; the transport's checksum is that of the pseudo-header alone, as NEEDS_CSUM has it. */
  #writeHeaders(to: number, tcp: boolean, checksumOffset: number): void {
    const { halves } = this.#memory
    const from = this.#at >> 1
    for (let i = 0; i < this.#headers >> 1; i++) halves[to + i] = halves[from + i]!
    if (this.#version === 4) {
      halves[to + 1] = networkHalf(this.#total)
      halves[to + 5] = 0
      halves[to + 5] = finish(this.#ipv4Sum(to << 1))
    } else {
      halves[to + 2] = networkHalf(this.#total - this.#ipHeader)
    }
    const transport = to + (this.#ipHeader >> 1)
    const length = networkHalf(this.#total - this.#ipHeader)
    halves[transport + (checksumOffset >> 1)] = fold(this.#pseudoSum + length)
    if (!tcp) halves[transport + 2] = length
    else if (this.#pushed) halves[transport + 6]! |= pushBit
  }
}
