import { DropReason } from '#shared/drop-reason.ts'
import type { Scratch } from '#shared/netstack/scratch.ts'
import { IPV4_HEADER_LENGTH, writeIpv4Header } from '#shared/wire/ipv4.ts'
import { IPV6_HEADER_LENGTH, writeIpv6Header } from '#shared/wire/ipv6.ts'

/** Hop limit of our packets. */
const HOP_LIMIT = 64

/** Puts an IP header before a payload and hands the packet out. */
export class Transmitter {
  /** Largest packet, bytes. */
  mtu: number
  readonly #transmit: (packet: Uint8Array) => void
  /** Views of the last scratch by length: bulk flows send the same length again and again. */
  #viewOf: Buffer | undefined
  #view: Uint8Array = new Uint8Array(0)

  constructor(mtu: number, transmit: (packet: Uint8Array) => void) {
    this.mtu = mtu
    this.#transmit = transmit
  }

  /** Where the payload starts: the size of the header before it. */
  headerLength(address: Uint8Array): number {
    return address.length === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH
  }

  /** Sends the `length` bytes that lie behind the header's place in `scratch`. Returns 0 or `InnerTooBig`. */
  send(scratch: Scratch, source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
    const total = this.headerLength(destination) + length
    if (total > this.mtu) return DropReason.InnerTooBig
    if (destination.length === 4) {
      writeIpv4Header(scratch.view, scratch.bytes, source, destination, protocol, length, HOP_LIMIT)
    } else writeIpv6Header(scratch.view, scratch.bytes, source, destination, protocol, length, HOP_LIMIT)
    if (this.#viewOf !== scratch.bytes || this.#view.length !== total) {
      this.#viewOf = scratch.bytes
      this.#view = scratch.bytes.subarray(0, total)
    }
    this.#transmit(this.#view)
    return 0
  }
}
