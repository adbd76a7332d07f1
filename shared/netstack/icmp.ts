import { DropReason } from '#shared/drop-reason.ts'
import { type InnerAddress, isUnicast } from '#shared/netstack/inner-address.ts'
import type { Ping } from '#shared/netstack/ping.ts'
import { returnScratch, type Scratch, takeScratch } from '#shared/netstack/scratch.ts'
import type { Transmitter } from '#shared/netstack/transmitter.ts'
import { foldChecksum, pseudoHeaderSum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import { ICMP_ERROR_LIMIT, ICMP_HEADER_LENGTH, IcmpType, IcmpUnreachable, isIcmpError } from '#shared/wire/icmp.ts'
import { ICMPV6_ERROR_LIMIT, Icmpv6Type, Icmpv6Unreachable, isIcmpv6Error } from '#shared/wire/icmpv6.ts'
import { type IpPacket, Protocol } from '#shared/wire/ip-packet.ts'

/** What an error about one of our packets says. */
export type PathError =
  | { kind: 'refused' }
  | { kind: 'unreachable' }
  /** The next hop takes packets of up to `mtu` bytes. */
  | { kind: 'too-big'; mtu: number }

/** ICMP for both families: answers echoes, reports errors, hears them. */
export class Icmp {
  readonly #transmitter: Transmitter
  readonly #ping: Ping
  /** An error about the packet of ours quoted at `bytes[at..end]`. */
  readonly #heard: (error: PathError, bytes: Uint8Array, view: DataView, at: number, end: number) => void

  constructor(
    transmitter: Transmitter,
    ping: Ping,
    heard: (error: PathError, bytes: Uint8Array, view: DataView, at: number, end: number) => void,
  ) {
    this.#transmitter = transmitter
    this.#ping = ping
    this.#heard = heard
  }

  input(packet: IpPacket, bytes: Uint8Array, view: DataView, local: InnerAddress, now: number): number {
    const { payload, end } = packet
    if (end - payload < ICMP_HEADER_LENGTH) return DropReason.InnerMalformed
    const source = bytes.subarray(packet.source, packet.source + packet.addressLength)
    const pseudo = pseudoOf(source, local.bytes, end - payload)
    if (foldChecksum(sumWords(view, payload, end, pseudo)) !== 0) return DropReason.InnerMalformed
    const six = packet.version === 6
    const type = view.getUint8(payload)
    if (type === (six ? Icmpv6Type.Echo : IcmpType.Echo)) {
      if (!isUnicast(bytes, packet.source, packet.addressLength)) return DropReason.InnerMalformed
      this.#answerEcho(packet, bytes, source, local)
    } else if (type === (six ? Icmpv6Type.EchoReply : IcmpType.EchoReply)) this.#ping.answered(view, payload, now)
    else {
      const error = six ? pathError6(type, view, payload) : pathError4(type, view, payload)
      if (error !== undefined) this.#heard(error, bytes, view, payload + ICMP_HEADER_LENGTH, end)
    }
    return 0
  }

  /** Sends an echo request of `size` payload bytes. */
  sendEcho(source: InnerAddress, destination: Uint8Array, identifier: number, sequence: number, size: number): number {
    const scratch = takeScratch()
    const start = this.#transmitter.headerLength(destination)
    const at = start + ICMP_HEADER_LENGTH
    for (let i = 0; i < size; i++) scratch.bytes[at + i] = i & 0xff
    scratch.view.setUint16(start + 4, identifier)
    scratch.view.setUint16(start + 6, sequence)
    const type = destination.length === 4 ? IcmpType.Echo : Icmpv6Type.Echo
    return this.#finish(scratch, type, 0, source.bytes, destination, ICMP_HEADER_LENGTH + size)
  }

  /** Tells the sender of `packet` that nobody listens on its UDP port. The caller has asked its limit. */
  portUnreachable(packet: IpPacket, bytes: Uint8Array, local: InnerAddress): void {
    const six = packet.version === 6
    this.#sendError(
      packet,
      bytes,
      local,
      six ? Icmpv6Type.Unreachable : IcmpType.Unreachable,
      six ? Icmpv6Unreachable.Port : IcmpUnreachable.Port,
      0,
    )
  }

  /** Tells the sender that we do not speak the protocol (IPv6: next header at its offset, RFC 8200 §4). */
  protocolUnreachable(packet: IpPacket, bytes: Uint8Array, local: InnerAddress): void {
    if (packet.version === 4) this.#sendError(packet, bytes, local, IcmpType.Unreachable, IcmpUnreachable.Protocol, 0)
    else this.#sendError(packet, bytes, local, Icmpv6Type.ParameterProblem, 1, 6)
  }

  /** No error about an error, a fragment, or a packet whose sender cannot be told (RFC 1122 §3.2.2, RFC 4443 §2.4e). */
  #sendError(packet: IpPacket, bytes: Uint8Array, local: InnerAddress, type: number, code: number, word: number): void {
    if (!isUnicast(bytes, packet.source, packet.addressLength)) return
    const six = packet.version === 6
    const protocol = six ? Protocol.Icmpv6 : Protocol.Icmp
    if (packet.protocol === protocol && (six ? isIcmpv6Error : isIcmpError)(bytes[packet.payload] ?? 0)) return
    const destination = Uint8Array.from(bytes.subarray(packet.source, packet.source + packet.addressLength))
    const start = this.#transmitter.headerLength(destination)
    const limit = Math.min(six ? ICMPV6_ERROR_LIMIT : ICMP_ERROR_LIMIT, this.#transmitter.mtu)
    // An answer to an unauthenticated question is never larger than the question (THREATS P-12).
    const quoted = Math.max(0, Math.min(packet.end, limit - start - ICMP_HEADER_LENGTH))
    const scratch = takeScratch()
    scratch.view.setUint32(start + 4, word)
    scratch.bytes.set(bytes.subarray(0, quoted), start + ICMP_HEADER_LENGTH)
    this.#finish(scratch, type, code, local.bytes, destination, ICMP_HEADER_LENGTH + quoted)
  }

  #answerEcho(packet: IpPacket, bytes: Uint8Array, source: Uint8Array, local: InnerAddress): void {
    const size = packet.end - packet.payload
    const destination = Uint8Array.from(source)
    const start = this.#transmitter.headerLength(destination)
    const scratch = takeScratch()
    scratch.bytes.set(bytes.subarray(packet.payload, packet.end), start)
    this.#finish(scratch, packet.version === 6 ? Icmpv6Type.EchoReply : IcmpType.EchoReply, 0, local.bytes, destination, size)
  }

  /** Type, code, checksum; then sends and gives the scratch back. */
  #finish(scratch: Scratch, type: number, code: number, source: Uint8Array, destination: Uint8Array, size: number): number {
    const { view } = scratch
    const start = this.#transmitter.headerLength(destination)
    view.setUint16(start, (type << 8) | code)
    view.setUint16(start + 2, 0)
    const sum = sumWords(view, start, start + size, pseudoOf(source, destination, size))
    view.setUint16(start + 2, foldChecksum(sum), true)
    const sent = this.#transmitter.send(
      scratch,
      source,
      destination,
      destination.length === 4 ? Protocol.Icmp : Protocol.Icmpv6,
      size,
    )
    returnScratch(scratch)
    return sent
  }
}

/** ICMP for IPv4 has no pseudo-header. */
const pseudoOf = (source: Uint8Array, destination: Uint8Array, size: number): number =>
  destination.length === 4 ? 0 : pseudoHeaderSum(source, destination, Protocol.Icmpv6) + swap16(size)

function pathError4(type: number, view: DataView, at: number): PathError | undefined {
  if (type !== IcmpType.Unreachable) return undefined
  const code = view.getUint8(at + 1)
  if (code === IcmpUnreachable.FragmentationNeeded) return { kind: 'too-big', mtu: view.getUint16(at + 6) }
  return code === IcmpUnreachable.Port || code === IcmpUnreachable.Protocol ? { kind: 'refused' } : { kind: 'unreachable' }
}

function pathError6(type: number, view: DataView, at: number): PathError | undefined {
  if (type === Icmpv6Type.PacketTooBig) return { kind: 'too-big', mtu: view.getUint32(at + 4) }
  if (type !== Icmpv6Type.Unreachable) return undefined
  return view.getUint8(at + 1) === Icmpv6Unreachable.Port ? { kind: 'refused' } : { kind: 'unreachable' }
}
