import { anyPort, covers, coversAddress, sameSelector } from '#shared/ikev2/traffic-selectors.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { decodeIpPacket, IpPacket, Protocol } from '#shared/wire/ip-packet.ts'

/** The packet under way; one is at a time. */
const packet = new IpPacket()

/**
 * Which inner packets a Child SA may carry (RFC 4301 §5.2, §4.4.1): between what lies behind us and what lies behind the peer. Nearly all
 * selectors speak of addresses alone; only where one names protocols or ports are the packet's headers read.
 */
export class SelectorGate {
  readonly local: readonly TrafficSelector[]
  readonly remote: readonly TrafficSelector[]
  readonly #byAddress: boolean

  constructor(local: readonly TrafficSelector[], remote: readonly TrafficSelector[]) {
    this.local = local
    this.remote = remote
    this.#byAddress = [...local, ...remote].every(isAnyTraffic)
  }

  /** Whether it lets the same traffic through, as selectors that are written the same way do. */
  equals(other: SelectorGate): boolean {
    return areSame(this.local, other.local) && areSame(this.remote, other.remote)
  }

  /** Whether the IP packet `bytes[0..length]`, whose fixed header is whole, may come from the peer. */
  admitsInbound(bytes: Uint8Array, length: number): boolean {
    return this.#admits(this.remote, this.local, bytes, length)
  }

  /** Whether it may go to the peer. */
  admitsOutbound(bytes: Uint8Array, length: number): boolean {
    return this.#admits(this.local, this.remote, bytes, length)
  }

  #admits(from: readonly TrafficSelector[], to: readonly TrafficSelector[], bytes: Uint8Array, length: number): boolean {
    const isIpv4 = bytes[0]! >> 4 === 4
    const source = isIpv4 ? 12 : 8
    const width = isIpv4 ? 4 : 16
    if (length < (isIpv4 ? 20 : 40)) return false
    if (this.#byAddress) return coversAddress(from, bytes, source, width) && coversAddress(to, bytes, source + width, width)
    if (decodeIpPacket(new DataView(bytes.buffer, bytes.byteOffset, length), length, packet) < 0) return false
    const { protocol } = packet
    const [sourcePort, destinationPort] = portsOf(bytes)
    return (
      covers(from, bytes, source, width, protocol, sourcePort) &&
      covers(to, bytes, source + width, width, protocol, destinationPort)
    )
  }
}

const areSame = (some: readonly TrafficSelector[], others: readonly TrafficSelector[]): boolean =>
  some.length === others.length && some.every((selector, i) => sameSelector(selector, others[i]!))

const isAnyTraffic = ({ protocol, startPort, endPort }: TrafficSelector): boolean =>
  protocol === 0 && startPort === anyPort.startPort && endPort === anyPort.endPort

const NO_PORTS = [-1, -1] as const

/** Source and destination port of `packet`; -1 where they cannot be seen. ICMP has type and code in the place of both. */
function portsOf(bytes: Uint8Array): readonly [number, number] {
  const { protocol, payload, end, fragmentOffset } = packet
  if (fragmentOffset !== 0 || end - payload < 4) return NO_PORTS
  const first = (bytes[payload]! << 8) | bytes[payload + 1]!
  if (protocol === Protocol.Icmp || protocol === Protocol.Icmpv6) return [first, first]
  if (protocol !== Protocol.Tcp && protocol !== Protocol.Udp) return NO_PORTS
  return [first, (bytes[payload + 2]! << 8) | bytes[payload + 3]!]
}
