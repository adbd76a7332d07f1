import { DropReason } from '#shared/drop-reason.ts'
import { type InnerAddress, isUnicast } from '#shared/netstack/inner-address.ts'
import type { UdpPeer } from '#shared/netstack/options.ts'
import type { Ports } from '#shared/netstack/ports.ts'
import { returnScratch, takeScratch } from '#shared/netstack/scratch.ts'
import { TcpError } from '#shared/netstack/tcp/tcp-error.ts'
import type { Transmitter } from '#shared/netstack/transmitter.ts'
import { pseudoHeaderSum } from '#shared/wire/checksum.ts'
import { formatAddress, tryParseAddress } from '#shared/wire/ip-address.ts'
import { type IpPacket, Protocol } from '#shared/wire/ip-packet.ts'
import { isUdpDatagram, UDP_HEADER_LENGTH, writeUdpHeader } from '#shared/wire/udp.ts'

/** `payload` is borrowed for the call. */
export type DatagramHandler = (payload: Uint8Array, from: UdpPeer, to: UdpPeer) => void

/** One bound UDP port. */
export class UdpSocket {
  readonly port: number
  readonly address: string | undefined
  readonly handler: DatagramHandler
  readonly #udp: Udp

  constructor(udp: Udp, port: number, address: string | undefined, handler: DatagramHandler) {
    this.#udp = udp
    this.port = port
    this.address = address
    this.handler = handler
  }

  /** Sends one datagram, whole or not at all; returns 0 or a negative DropReason. */
  send(payload: Uint8Array, address: string, port: number): number {
    return this.#udp.send(this, payload, address, port)
  }

  close(): void {
    this.#udp.unbind(this)
  }
}

/** The UDP sockets of one stack (RFC 768). */
export class Udp {
  readonly #transmitter: Transmitter
  readonly #ports: Ports
  readonly #sourceFor: (destination: Uint8Array, wanted: string | undefined) => InnerAddress | undefined
  readonly #sockets = new Map<number, UdpSocket[]>()

  constructor(
    transmitter: Transmitter,
    ports: Ports,
    sourceFor: (destination: Uint8Array, wanted: string | undefined) => InnerAddress | undefined,
  ) {
    this.#transmitter = transmitter
    this.#ports = ports
    this.#sourceFor = sourceFor
  }

  /** Port 0: any free one. Throws TcpError EADDRINUSE. */
  bind(port: number, address: string | undefined, handler: DatagramHandler): UdpSocket {
    const chosen = port !== 0 ? port : this.#ports.choose((candidate) => !this.#sockets.has(candidate))
    if (chosen === undefined) throw new TcpError('EADDRNOTAVAIL')
    const others = this.#sockets.get(chosen) ?? []
    if (others.some((other) => other.address === address)) throw new TcpError('EADDRINUSE', `udp port ${chosen}`)
    const socket = new UdpSocket(this, chosen, address, handler)
    this.#sockets.set(chosen, [...others, socket])
    return socket
  }

  unbind(socket: UdpSocket): void {
    const rest = (this.#sockets.get(socket.port) ?? []).filter((other) => other !== socket)
    if (rest.length === 0) this.#sockets.delete(socket.port)
    else this.#sockets.set(socket.port, rest)
  }

  clear(): void {
    this.#sockets.clear()
  }

  isBound(port: number): boolean {
    return this.#sockets.has(port)
  }

  /** The socket that a packet is for; undefined: none, so that the port is unreachable. A number is a drop reason. */
  find(packet: IpPacket, bytes: Uint8Array, view: DataView, local: InnerAddress): UdpSocket | number | undefined {
    const source = bytes.subarray(packet.source, packet.source + packet.addressLength)
    const pseudo = pseudoHeaderSum(source, local.bytes, Protocol.Udp)
    if (!isUdpDatagram(view, packet.payload, packet.end, pseudo, packet.version)) return DropReason.InnerMalformed
    const sockets = this.#sockets.get(view.getUint16(packet.payload + 2))
    return sockets?.find(({ address }) => address === local.text) ?? sockets?.find(({ address }) => address === undefined)
  }

  deliver(socket: UdpSocket, packet: IpPacket, bytes: Uint8Array, view: DataView, local: InnerAddress): void {
    const at = packet.payload
    const from = { address: formatAddress(bytes, packet.source, packet.addressLength), port: view.getUint16(at) }
    const payload = bytes.subarray(at + UDP_HEADER_LENGTH, at + view.getUint16(at + 4))
    socket.handler(payload, from, { address: local.text, port: socket.port })
  }

  send(socket: UdpSocket, payload: Uint8Array, address: string, port: number): number {
    const destination = tryParseAddress(address)
    if (destination === undefined || !isUnicast(destination, 0, destination.length)) return DropReason.NoRoute
    const source = this.#sourceFor(destination, socket.address)
    if (source === undefined) return DropReason.NoRoute
    const start = this.#transmitter.headerLength(destination)
    if (start + UDP_HEADER_LENGTH + payload.length > this.#transmitter.mtu) return DropReason.InnerTooBig
    const scratch = takeScratch()
    scratch.bytes.set(payload, start + UDP_HEADER_LENGTH)
    const pseudo = pseudoHeaderSum(source.bytes, destination, Protocol.Udp)
    writeUdpHeader(scratch.view, start, socket.port, port, payload.length, pseudo)
    const sent = this.#transmitter.send(scratch, source.bytes, destination, Protocol.Udp, UDP_HEADER_LENGTH + payload.length)
    returnScratch(scratch)
    return sent
  }
}
