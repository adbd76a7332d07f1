import { finish, networkHalf, type Sum, sumOver } from '#shared/dataplane/batch/checksum.ts'
import type { PacketMemory } from '#shared/dataplane/batch/packet-memory.ts'
import { SuperPacket } from '#shared/dataplane/batch/super-packet.ts'
import {
  tcpChecksumOffset,
  udpChecksumOffset,
  VirtioGso,
  virtioNeedsChecksum,
  virtioNetHeader,
} from '#shared/dataplane/batch/virtio-net-header.ts'
import { DropReason } from '#shared/drop-reason.ts'

/** Bytes behind a packet that the caller may write upon: an ESP trailer, or padding to 16 bytes. */
const tailRoom = 16

const ipv6Header = 40
/** As they stand in the half of data offset and flags, in memory order. */
const finAndPush = 0x0900
const congestionWindowReduced = 0x8000

/**
 * Cuts what a TUN gave at once into the packets that it stands for (TSO, USO), or completes the checksum of the one that it is. Works in
 * place: each packet's header is written before its payload, over what was sent already, so that no payload is copied. Only a `gso_size`
 * that is odd has its packets copied elsewhere, as sums want even offsets.
 *
 * Strict: a header that does not agree with its packet is malformed, and no byte outside of what was read is read or written.
 */
export class Segmenter {
  readonly #memory: PacketMemory
  readonly #sum: Sum
  readonly #packet = new SuperPacket()
  /** The headers of the super-packet, as words to copy and as halves to reckon with. They are always whole words. */
  readonly #template = new Int32Array(SuperPacket.headersMax / 4)
  readonly #templateHalves = new Uint16Array(this.#template.buffer)
  /** Where the packet begins that `next` made. */
  packetAt = 0
  #packetsLeft = 0
  /** Of a packet that is whole already. */
  #wholeLength = 0
  /** Where the payload of the next packet begins, and that of all ends. */
  #payloadAt = 0
  #end = 0
  #size = 0
  #inPlace = true
  #id = 0
  #sequence = 0
  /** Sums of the halves that no packet changes: of the IPv4 header, and of pseudo-header and transport header. */
  #ipSum = 0
  #transportSum = 0
  readonly #tail = new Int32Array(tailRoom / 4)
  readonly #tailBytes = new Uint8Array(this.#tail.buffer)
  #tailLength = 0

  constructor(memory: PacketMemory) {
    this.#memory = memory
    this.#sum = sumOver(memory)
  }

  /**
   * Takes the `length` bytes at `at` (even), virtio header first. Returns the number of packets in them, or DropReason.InnerMalformed.
   * They are the segmenter's until the last packet is done with; behind the last one the caller needs `tailRoom` bytes of its own.
   */
  begin(at: number, length: number): number {
    this.#packetsLeft = 0
    this.#tailLength = 0
    if ((at & 1) !== 0 || length < virtioNetHeader + 20) return DropReason.InnerMalformed
    this.packetAt = at + virtioNetHeader
    this.#end = at + length
    if (this.#memory.bytes[at + 1] === VirtioGso.None) return this.#beginWhole(at, length - virtioNetHeader)
    const packet = this.#packet
    if (!packet.read(this.#memory, at, length)) return DropReason.InnerMalformed
    const payload = length - virtioNetHeader - packet.headers
    this.#payloadAt = this.packetAt + packet.headers
    this.#size = packet.size
    this.#wholeLength = 0
    this.#packetsLeft = payload === 0 ? 1 : Math.ceil(payload / packet.size)
    this.#inPlace = (packet.size & 1) === 0 || this.#packetsLeft === 1
    this.#takeTemplate(this.packetAt)
    return this.#packetsLeft
  }

  /**
   * Makes the next packet and returns its length, 0 where none is left. It lies at `packetAt`, in what was read or else at `spareAt` (even,
   * room for 65,535 bytes and `tailRoom`), and is good until the next call. Up to then the 16 bytes behind it may be written upon.
   */
  next(spareAt: number): number {
    if (this.#packetsLeft === 0) return 0
    this.#packetsLeft--
    if (this.#wholeLength !== 0) return this.#wholeLength
    const { headers } = this.#packet
    const from = this.#payloadAt
    const payload = Math.min(this.#size, this.#end - from)
    const to = from + payload
    if (this.#tailLength !== 0) this.#restoreTail(from)
    if (this.#inPlace) {
      this.packetAt = from - headers
      if (to < this.#end) this.#saveTail(to)
    } else {
      this.packetAt = spareAt
      this.#memory.bytes.copyWithin(spareAt + headers, from, to)
    }
    this.#writeHeaders(payload, this.#sum(this.packetAt + headers, payload))
    this.#payloadAt = to
    return headers + payload
  }

  #beginWhole(at: number, length: number): number {
    const { bytes, halves } = this.#memory
    if ((bytes[at]! & virtioNeedsChecksum) !== 0) {
      const start = halves[(at + 6) >> 1]!
      const checksumAt = start + halves[(at + 8) >> 1]!
      if (start < 20 || (start & 1) !== 0 || (checksumAt & 1) !== 0 || checksumAt + 2 > length) return DropReason.InnerMalformed
      // 0 would say that there is none (RFC 768); to all others both zeros are equal.
      halves[(this.packetAt + checksumAt) >> 1] = finish(this.#sum(this.packetAt + start, length - start)) || 0xffff
    }
    this.#wholeLength = length
    this.#packetsLeft = 1
    return 1
  }

  #takeTemplate(at: number): void {
    const { view } = this.#memory
    const packet = this.#packet
    for (let i = 0; i < packet.headers; i += 4) this.#template[i >> 2] = view.getInt32(at + i, true)
    const template = this.#templateHalves
    const count = packet.headers >> 1
    const transport = packet.transportStart >> 1
    let sum = networkHalf(packet.protocol)
    for (let i = packet.addressesStart >> 1, to = i + packet.addressesLength / 2; i < to; i++) sum += template[i]!
    for (let i = transport; i < count; i++) sum += template[i]!
    if (packet.isTcp) {
      sum -= template[transport + 2]! + template[transport + 3]! + template[transport + 6]! + template[transport + 8]!
      this.#sequence = view.getInt32(at + packet.transportStart + 4)
    } else {
      sum -= template[transport + 2]! + template[transport + 3]!
    }
    this.#transportSum = sum
    if (packet.version === 6) return
    this.#id = networkHalf(template[2]!)
    let ipSum = 0
    for (let i = 0; i < transport; i++) ipSum += template[i]!
    this.#ipSum = ipSum - template[1]! - template[2]! - template[5]!
  }

  #writeHeaders(payload: number, payloadSum: number): void {
    const { halves, view } = this.#memory
    const packet = this.#packet
    const at = this.packetAt
    for (let i = 0; i < packet.headers; i += 4) view.setInt32(at + i, this.#template[i >> 2]!, true)
    const half = at >> 1
    const length = packet.headers + payload
    if (packet.version === 4) {
      const total = networkHalf(length)
      const id = networkHalf(this.#id)
      this.#id = (this.#id + 1) & 0xffff
      halves[half + 1] = total
      halves[half + 2] = id
      halves[half + 5] = finish(this.#ipSum + total + id)
    } else {
      halves[half + 2] = networkHalf(length - ipv6Header)
    }
    const transport = packet.transportStart >> 1
    const transportLength = networkHalf(length - packet.transportStart)
    const sum = this.#transportSum + payloadSum + transportLength
    if (packet.isTcp) {
      this.#writeTcp(half + transport, this.#templateHalves[transport + 6]!, sum, payload)
      this.#templateHalves[transport + 6]! &= ~congestionWindowReduced
    } else {
      halves[half + transport + 2] = transportLength
      halves[half + transport + udpChecksumOffset / 2] = finish(sum + transportLength) || 0xffff
    }
  }

  /** `flags`: the half of data offset and flags in the super-packet. FIN and PSH are the last packet's, CWR the first one's (RFC 3168 §6.1.2). */
  #writeTcp(half: number, flags: number, sum: number, payload: number): void {
    const { halves } = this.#memory
    const upper = networkHalf(this.#sequence >>> 16)
    const lower = networkHalf(this.#sequence & 0xffff)
    this.#sequence = (this.#sequence + payload) | 0
    let own = flags
    if (this.#packetsLeft !== 0) own &= ~finAndPush
    halves[half + 2] = upper
    halves[half + 3] = lower
    halves[half + 6] = own
    halves[half + tcpChecksumOffset / 2] = finish(sum + upper + lower + own)
  }

  #saveTail(at: number): void {
    const { bytes, view } = this.#memory
    this.#tailLength = Math.min(tailRoom, this.#end - at)
    if (this.#tailLength === tailRoom) for (let i = 0; i < 4; i++) this.#tail[i] = view.getInt32(at + 4 * i, true)
    else for (let i = 0; i < this.#tailLength; i++) this.#tailBytes[i] = bytes[at + i]!
  }

  #restoreTail(at: number): void {
    const { bytes, view } = this.#memory
    if (this.#tailLength === tailRoom) for (let i = 0; i < 4; i++) view.setInt32(at + 4 * i, this.#tail[i]!, true)
    else for (let i = 0; i < this.#tailLength; i++) bytes[at + i] = this.#tailBytes[i]!
    this.#tailLength = 0
  }
}
