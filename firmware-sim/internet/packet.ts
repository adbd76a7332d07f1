import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { PacketForm } from '#sim/link.ts'

/** A packet of the simulated internet: its headers as values, its content as bytes. */
export interface Packet {
  readonly protocol: 'udp' | 'pipe'
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Uint8Array
  /** Of a pipe (pipe.ts): what TCP's header says. */
  readonly segment?: Segment
  /** How ICMP comes back to the sender, where somebody on the way speaks it. It takes no time and crosses every NAT. */
  readonly icmp?: ((word: Icmp) => void) | undefined
  /** Routers that it may yet cross. */
  readonly hops: number
}

export type Icmp =
  /** A router has a smaller link ahead: the MTU that it names. */
  | { kind: 'too-big'; mtu: number }
  /** Nobody has bound that port. */
  | { kind: 'port-unreachable' }

export interface Segment {
  readonly kind: 'open' | 'opened' | 'data' | 'refused' | 'closed'
  /** Number of this piece, and of the piece that is expected next from the other end. */
  readonly sequence: number
  readonly expected: number
}

export const isIpv6 = (address: string): boolean => address.includes(':')

const ipHeader = (address: string): number => (isIpv6(address) ? 40 : 20)

export const packetForm: PacketForm<Packet> = {
  sizeOf: ({ protocol, bytes, to }) => bytes.length + ipHeader(to.address) + (protocol === 'udp' ? 8 : 20),
  corrupted(packet, below) {
    if (packet.bytes.length === 0) return packet
    const bytes = packet.bytes.slice()
    bytes[below(bytes.length)]! ^= 1 << below(8)
    return { ...packet, bytes }
  },
}
