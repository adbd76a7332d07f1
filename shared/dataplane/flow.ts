import { wordAt } from '#shared/bytes/word.ts'
import type { OffloadedFlow } from '#shared/dataplane/flow-offload.ts'
import type { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'

/** How far a TCP flow has come; other protocols stay `open`. */
export type FlowPhase = 'opening' | 'open' | 'closing'

/** An inner end: an association, or undefined for this host itself. */
export type FlowEnd = Association | undefined

/** What one end of a TCP flow has said last: the numbers that a reset to either end must carry. 32-bit integers. */
export interface Said {
  /** What it expects next. */
  acknowledgement: number | undefined
  /** Behind the last byte that it sent. */
  end: number | undefined
}

/** One permitted conversation between two inner ends. Addresses are kept as words, so that a packet is compared in place. */
export class Flow {
  readonly protocol: number
  readonly initiator: FlowEnd
  readonly responder: FlowEnd
  readonly initiatorPort: number
  readonly responderPort: number
  readonly width: 4 | 16
  readonly openedAt: Instant
  /** When the permission ends by itself; Infinity: never. */
  readonly until: Instant
  lastSeen: Instant
  phase: FlowPhase
  /** Inner bytes from the initiator, and back. */
  bytesForward = 0
  bytesBack = 0
  /** TCP: what the initiator said, and what the responder said. */
  readonly forward: Said = { acknowledgement: undefined, end: undefined }
  readonly back: Said = { acknowledgement: undefined, end: undefined }
  /** Bit 0: the initiator has sent its FIN; bit 1: the responder. */
  finished = 0
  /** Who carries it on beside the filter, if anybody does. */
  offloaded: OffloadedFlow | undefined = undefined
  /** The next flow of the same hash bucket. */
  next: Flow | undefined = undefined
  readonly hash: number
  readonly #source: Int32Array

  constructor(packet: InnerPacket, initiator: FlowEnd, responder: FlowEnd, hash: number, now: Instant, until: Instant) {
    this.protocol = packet.protocol
    this.initiator = initiator
    this.responder = responder
    this.initiatorPort = packet.sourcePort
    this.responderPort = packet.destinationPort
    this.width = packet.width
    this.hash = hash
    this.openedAt = this.lastSeen = now
    this.until = until
    this.phase = packet.protocol === 6 ? 'opening' : 'open'
    this.#source = new Int32Array(packet.width / 2)
    const words = packet.width / 4
    for (let i = 0; i < words; i++) {
      this.#source[i] = wordAt(packet.bytes, packet.sourceAt + i * 4)
      this.#source[words + i] = wordAt(packet.bytes, packet.destinationAt + i * 4)
    }
  }

  get initiatorAddress(): string {
    return formatAddress(this.initiatorBytes)
  }

  get responderAddress(): string {
    return formatAddress(this.responderBytes)
  }

  get initiatorBytes(): Uint8Array {
    return addressBytes(this.#source, 0)
  }

  get responderBytes(): Uint8Array {
    return addressBytes(this.#source, this.#source.length / 2)
  }

  /** 1: the packet goes from the initiator; -1: from the responder; 0: it belongs to another flow. */
  direction(packet: InnerPacket): 1 | -1 | 0 {
    if (packet.protocol !== this.protocol || packet.width !== this.width) return 0
    const { sourcePort, destinationPort } = packet
    if (sourcePort === this.initiatorPort && destinationPort === this.responderPort && this.#matches(packet, 0)) return 1
    if (sourcePort === this.responderPort && destinationPort === this.initiatorPort && this.#matches(packet, 1)) return -1
    return 0
  }

  /** Whether the packet's source is the initiator's address (`swap` 0) or the responder's (1), and its destination the other. */
  #matches(packet: InnerPacket, swap: 0 | 1): boolean {
    const words = this.width / 4
    const { bytes } = packet
    const own = this.#source
    const from = swap * words
    const to = words - from
    for (let i = 0; i < words; i++) {
      if (own[from + i] !== wordAt(bytes, packet.sourceAt + i * 4)) return false
      if (own[to + i] !== wordAt(bytes, packet.destinationAt + i * 4)) return false
    }
    return true
  }
}

/** The same number for both directions of a conversation. Mixed with `seed`, so that a stranger cannot aim at one bucket. */
export function flowHash(packet: InnerPacket, seed: number): number {
  return (
    (mix(packet.bytes, packet.sourceAt, packet.width, packet.sourcePort ^ seed) ^
      mix(packet.bytes, packet.destinationAt, packet.width, packet.destinationPort ^ seed) ^
      packet.protocol) >>>
    0
  )
}

function mix(bytes: Uint8Array, at: number, width: number, start: number): number {
  let hash = start | 0
  for (let i = 0; i < width; i += 4) hash = Math.imul(hash ^ wordAt(bytes, at + i), 0x9e37_79b1) ^ (hash >>> 15)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  return hash ^ (hash >>> 13)
}

function addressBytes(words: Int32Array, at: number): Uint8Array {
  const bytes = new Uint8Array(words.length * 2)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < words.length / 2; i++) view.setInt32(i * 4, words[at + i]!)
  return bytes
}
