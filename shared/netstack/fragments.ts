import { DropReason } from '#shared/drop-reason.ts'
import type { Scratch } from '#shared/netstack/scratch.ts'
import { foldChecksum, sumWords } from '#shared/wire/checksum.ts'
import type { IpPacket } from '#shared/wire/ip-packet.ts'
import { IPV4_HEADER_LENGTH } from '#shared/wire/ipv4.ts'
import { IPV6_HEADER_LENGTH } from '#shared/wire/ipv6.ts'

/** Milliseconds that a first fragment waits for the rest (RFC 8200 §4.5 allows 60 s; ours come through one tunnel). */
const LIFETIME = 15_000

/** Datagrams being put together, and pieces of each. */
const MAX_DATAGRAMS = 64
const MAX_PIECES = 64

/** Memory charged for each piece beside its bytes. */
const PIECE_COST = 128

interface Piece {
  start: number
  end: number
  bytes: Uint8Array
}

interface Datagram {
  pieces: Piece[]
  held: number
  /** Of the whole payload; undefined until the last fragment came. */
  length: number | undefined
  /** The header of the fragment at offset 0. */
  header: Uint8Array | undefined
  protocol: number
  expiresAt: number
  /** A piece overlapped another: nothing more of this datagram is believed (RFC 5722). */
  spoiled: boolean
}

/** Puts fragmented packets together, within bounds, and without ever believing overlapping pieces. */
export class Fragments {
  readonly #limit: number
  readonly #datagrams = new Map<string, Datagram>()
  /** Bytes held. */
  held = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get deadline(): number {
    for (const { expiresAt } of this.#datagrams.values()) return expiresAt
    return Number.POSITIVE_INFINITY
  }

  expire(now: number): void {
    for (const [key, datagram] of this.#datagrams) {
      if (datagram.expiresAt > now) return
      this.#forget(key, datagram)
    }
  }

  /**
   * Takes one fragment. Returns the length of the whole packet, now in `out`; 0 where pieces are missing; or a negative DropReason.
   */
  add(packet: IpPacket, bytes: Uint8Array, out: Scratch, now: number): number {
    const { payload, end, fragmentOffset: start, moreFragments } = packet
    const size = end - payload
    const stop = start + size
    if (size === 0 || stop > 65_535 - IPV6_HEADER_LENGTH || (moreFragments && size % 8 !== 0)) return DropReason.InnerMalformed
    const key = keyOf(packet, bytes)
    let datagram = this.#datagrams.get(key)
    if (datagram === undefined) {
      this.#makeRoom()
      datagram = {
        pieces: [],
        held: 0,
        length: undefined,
        header: undefined,
        protocol: packet.protocol,
        expiresAt: now + LIFETIME,
        spoiled: false,
      }
      this.#datagrams.set(key, datagram)
    }
    if (datagram.spoiled) return DropReason.InnerMalformed
    if (!this.#fits(datagram, start, stop, moreFragments)) {
      this.#spoil(datagram)
      return DropReason.InnerMalformed
    }
    const cost = size + PIECE_COST
    if (this.held + cost > this.#limit) {
      this.#forget(key, datagram)
      return DropReason.QueueFull
    }
    datagram.pieces.push({ start, end: stop, bytes: Uint8Array.from(bytes.subarray(payload, end)) })
    datagram.held += cost
    this.held += cost
    if (!moreFragments) datagram.length = stop
    if (start === 0) {
      datagram.header = Uint8Array.from(bytes.subarray(0, packet.version === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH))
      datagram.protocol = packet.protocol
    }
    if (datagram.length === undefined || datagram.header === undefined || covered(datagram) < datagram.length) return 0
    const whole = assemble(datagram, datagram.header, datagram.length, out)
    this.#forget(key, datagram)
    return whole
  }

  #fits(datagram: Datagram, start: number, end: number, moreFragments: boolean): boolean {
    if (datagram.pieces.length >= MAX_PIECES) return false
    if (datagram.length !== undefined && (end > datagram.length || !moreFragments)) return false
    return datagram.pieces.every((piece) => (end <= piece.start || start >= piece.end) && (moreFragments || piece.end <= end))
  }

  /** Keeps the mark, not the bytes. */
  #spoil(datagram: Datagram): void {
    this.held -= datagram.held
    datagram.held = 0
    datagram.pieces = []
    datagram.spoiled = true
  }

  #makeRoom(): void {
    if (this.#datagrams.size < MAX_DATAGRAMS) return
    for (const [key, datagram] of this.#datagrams) {
      this.#forget(key, datagram)
      return
    }
  }

  #forget(key: string, datagram: Datagram): void {
    this.held -= datagram.held
    this.#datagrams.delete(key)
  }
}

const covered = (datagram: Datagram): number => datagram.pieces.reduce((sum, piece) => sum + piece.end - piece.start, 0)

/** Source, destination, identification, and for IPv4 the protocol (RFC 791 §3.2, RFC 8200 §4.5). */
function keyOf(packet: IpPacket, bytes: Uint8Array): string {
  const addresses = bytes.subarray(packet.source, packet.source + 2 * packet.addressLength)
  return `${String.fromCharCode(...addresses)}${packet.fragmentId},${packet.version === 4 ? packet.protocol : ''}`
}

/** The packet as it was before fragmentation; headers of its own per-fragment part are left away. */
function assemble(datagram: Datagram, header: Uint8Array, length: number, out: Scratch): number {
  const { bytes, view } = out
  bytes.set(header, 0)
  for (const piece of datagram.pieces) bytes.set(piece.bytes, header.length + piece.start)
  if (header.length === IPV6_HEADER_LENGTH) {
    view.setUint16(4, length)
    view.setUint8(6, datagram.protocol)
  } else {
    view.setUint8(0, 0x45)
    view.setUint16(2, header.length + length)
    view.setUint16(6, 0)
    view.setUint16(10, 0)
    view.setUint16(10, foldChecksum(sumWords(view, 0, header.length)), true)
  }
  return header.length + length
}
