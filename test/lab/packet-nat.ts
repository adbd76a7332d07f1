import type { Instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { formatAddress, parseAddress } from '#shared/wire/ip-address.ts'
import { decodeIpPacket, IpPacket, Protocol } from '#shared/wire/ip-packet.ts'
import { type NatBehaviour, NatBox } from '#sim/nat-box.ts'

/** Where the checksum lies in the header of each protocol with ports. */
const checksumAt: Readonly<Record<number, number>> = { [Protocol.Tcp]: 16, [Protocol.Udp]: 6 }

/** firmware-sim's NAT for real IPv4 packets with UDP or TCP: translates them in place. IPv6 passes as it is, other IPv4 does not. */
export class PacketNat {
  readonly udp: NatBox
  readonly #tcp: NatBox
  readonly #parts = new IpPacket()

  constructor(behaviour: NatBehaviour, outsideAddress: string, random: (bound: number) => number) {
    this.udp = new NatBox(behaviour, outsideAddress, random)
    this.#tcp = new NatBox({ ...behaviour, mapping: 'endpoint-independent' }, outsideAddress, random)
  }

  /** Every mapping of UDP is gone; connections of TCP live on. */
  forget(): void {
    this.udp.forget()
  }

  /** Whether the packet goes on, from inside to outside. */
  outbound(packet: Uint8Array, now: Instant): boolean {
    return this.#translate(packet, 'source', (box, from, to) => box.outbound(from, to, now))
  }

  inbound(packet: Uint8Array, now: Instant): boolean {
    return this.#translate(packet, 'destination', (box, from, to) => box.inbound(to, from, now))
  }

  #translate(
    packet: Uint8Array,
    end: 'source' | 'destination',
    lookUp: (box: NatBox, from: Endpoint, to: Endpoint) => Endpoint | undefined,
  ): boolean {
    const parts = this.#parts
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength)
    if (decodeIpPacket(view, packet.length, parts) !== 0) return false
    if (parts.version === 6) return true
    const checksum = checksumAt[parts.protocol]
    if (checksum === undefined || parts.isFragment) return false
    const { source, destination, payload } = parts
    const from = { address: formatAddress(packet, source, 4), port: view.getUint16(payload) }
    const to = { address: formatAddress(packet, destination, 4), port: view.getUint16(payload + 2) }
    const next = lookUp(parts.protocol === Protocol.Udp ? this.udp : this.#tcp, from, to)
    if (next === undefined) return false
    const [addressAt, portAt] = end === 'source' ? [source, payload] : [destination, payload + 2]
    const before = sumOf(view, addressAt) + view.getUint16(portAt)
    packet.set(parseAddress(next.address), addressAt)
    view.setUint16(portAt, next.port)
    const addressBefore = before - (end === 'source' ? from.port : to.port)
    mend(view, 10, addressBefore, sumOf(view, addressAt))
    if (parts.protocol !== Protocol.Udp || view.getUint16(payload + checksum) !== 0)
      mend(view, payload + checksum, before, sumOf(view, addressAt) + next.port)
    return true
  }
}

const sumOf = (view: DataView, at: number): number => view.getUint16(at) + view.getUint16(at + 2)

/** RFC 1624 §3: HC' = ~(~HC + ~m + m'), with m and m' sums of 16-bit words. */
function mend(view: DataView, at: number, before: number, after: number): void {
  let sum = (~view.getUint16(at) & 0xffff) + (0xffff * 4 - before) + after
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  view.setUint16(at, ~sum & 0xffff)
}
