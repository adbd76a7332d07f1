import type { Suite } from '#shared/crypto/suite.ts'
import { type Duration, elapsed, type Instant } from '#shared/time/instant.ts'
import { foldChecksum, pseudoHeaderSum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import { ICMP_HEADER_LENGTH, IcmpType } from '#shared/wire/icmp.ts'
import { Icmpv6Type } from '#shared/wire/icmpv6.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'
import { Protocol } from '#shared/wire/ip-packet.ts'
import { IPV4_HEADER_LENGTH, writeIpv4Header } from '#shared/wire/ipv4.ts'
import { IPV6_HEADER_LENGTH, writeIpv6Header } from '#shared/wire/ipv6.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'

/** The least probe: an IPv6 header and an echo without content, bytes of inner packet. */
export const SMALL_PROBE = 48
const LARGEST_PROBE = 1_500
const HOP_LIMIT = 64
/** Probes that may still come back. */
const OUTSTANDING = 64

interface Probe {
  readonly size: number
  readonly sentAt: Instant
}

/**
 * Echo requests (RFC 792, RFC 4443 §4.1) from our inner address to the broker's, through the tunnel: the tunnel authenticates them, and
 * an answer of the same size shows that packets of that size pass both ways.
 */
export class EchoProbes {
  readonly #identifier: number
  readonly #bytes = new Uint8Array(LARGEST_PROBE)
  readonly #view = new DataView(this.#bytes.buffer)
  readonly #notice = new Uint8Array(PACKET_TOO_BIG_LIMIT)
  readonly #outstanding = new Map<number, Probe>()
  #own: Uint8Array | undefined
  #broker: Uint8Array | undefined
  #sequence = 0

  constructor(suite: Pick<Suite, 'random'>) {
    this.#identifier = new DataView(Uint8Array.from(suite.random(2)).buffer).getUint16(0)
  }

  /** The inner addresses of both ends; the first family that both have is used. */
  setEnds(own: readonly string[], broker: readonly string[]): void {
    const far = broker.map(tryParseAddress)
    this.#own = own.map(tryParseAddress).find((near) => near && far.some((address) => address?.length === near.length))
    this.#broker = far.find((address) => address?.length === this.#own?.length)
  }

  /** One echo request that makes an inner packet of `size` bytes; valid until the next call. Undefined: there is nobody to ask. */
  write(size: number, now: Instant): Uint8Array | undefined {
    const [own, broker] = [this.#own, this.#broker]
    if (own === undefined || broker === undefined || size > LARGEST_PROBE) return undefined
    this.#sequence = (this.#sequence + 1) & 0xffff
    this.#outstanding.set(this.#sequence, { size, sentAt: now })
    if (this.#outstanding.size > OUTSTANDING) this.#outstanding.delete(this.#outstanding.keys().next().value!)
    const four = own.length === 4
    const at = four ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH
    const length = Math.max(size, at + ICMP_HEADER_LENGTH) - at
    const view = this.#view
    view.setUint32(at, (four ? IcmpType.Echo : Icmpv6Type.Echo) << 24)
    view.setUint16(at + 4, this.#identifier)
    view.setUint16(at + 6, this.#sequence)
    const pseudo = four ? 0 : pseudoHeaderSum(own, broker, Protocol.Icmpv6) + swap16(length)
    view.setUint16(at + 2, foldChecksum(sumWords(view, at, at + length, pseudo)), true)
    if (four) writeIpv4Header(view, this.#bytes, own, broker, Protocol.Icmp, length, HOP_LIMIT)
    else writeIpv6Header(view, this.#bytes, own, broker, Protocol.Icmpv6, length, HOP_LIMIT)
    return this.#bytes.subarray(0, at + length)
  }

  /**
   * Takes the answer to a probe: its size, when it was sent, and the round trip. Undefined where `packet`, which the tunnel has authenticated, is something
   * else; 'late' where it is an answer that nobody awaits any more.
   */
  read(packet: Uint8Array, now: Instant): (Probe & { roundTrip: Duration }) | 'late' | undefined {
    const four = packet[0]! >> 4 === 4
    const at = four ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH
    if (packet.length < at + ICMP_HEADER_LENGTH || packet[four ? 9 : 6] !== (four ? Protocol.Icmp : Protocol.Icmpv6))
      return undefined
    if (packet[at] !== (four ? IcmpType.EchoReply : Icmpv6Type.EchoReply)) return undefined
    if (((packet[at + 4]! << 8) | packet[at + 5]!) !== this.#identifier || !this.#isFromBroker(packet, four)) return undefined
    const sequence = (packet[at + 6]! << 8) | packet[at + 7]!
    const probe = this.#outstanding.get(sequence)
    if (probe === undefined || packet.length !== probe.size) return 'late'
    this.#outstanding.delete(sequence)
    return { ...probe, roundTrip: elapsed(probe.sentAt, now) }
  }

  /**
   * Tells the broker that packets to us may have `mtu` bytes (RFC 8201), as if the last answer to a probe had been larger: the error
   * quotes its head, so that a filter of flows knows it for ours.
   */
  notice(mtu: number): Uint8Array | undefined {
    const [own, broker] = [this.#own, this.#broker]
    const probe = this.write(SMALL_PROBE, 0 as Instant)
    if (own === undefined || broker === undefined || probe === undefined) return undefined
    const four = own.length === 4
    const at = four ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH
    const quoted = probe.slice()
    quoted[at] = four ? IcmpType.EchoReply : Icmpv6Type.EchoReply
    quoted.set(broker, four ? 12 : 8)
    quoted.set(own, four ? 16 : 24)
    return this.#notice.subarray(0, writePacketTooBig(this.#notice, own, broker, mtu, quoted))
  }

  /** What is on its way belongs to another path. */
  forget(): void {
    this.#outstanding.clear()
  }

  #isFromBroker(packet: Uint8Array, four: boolean): boolean {
    const at = four ? 12 : 8
    const broker = this.#broker
    return broker?.length === (four ? 4 : 16) && broker.every((byte, i) => packet[at + i] === byte)
  }
}
