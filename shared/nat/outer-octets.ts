import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'

/** IPv4 or IPv6 header without options, and UDP's. Octets. */
const OVER_UDP4 = 28
const OVER_UDP6 = 48
/**
 * What a stream adds to a datagram, estimated: IPv4 and TCP with timestamps 52, a TLS 1.3 record 22, a WebSocket frame 6, and half of an
 * acknowledgement of 52 the other way.
 */
const OVER_STREAM = 106

/** Octets of a datagram at the interface; exact over UDP without IP options, estimated where a stream carries it. Allocates nothing. */
export function octetsAtInterface(length: number, endpoint: Endpoint): number {
  if (isCarried(endpoint)) return length + OVER_STREAM
  return length + (endpoint.address.includes(':') ? OVER_UDP6 : OVER_UDP4)
}

/** Octets at the interface since the start, and how many of them are estimates. */
export class OuterMeter {
  sent = 0
  received = 0
  estimated = 0

  /** `datagrams` of `length` bytes in all. */
  countSent(length: number, to: Endpoint, datagrams = 1): void {
    const octets = octetsAtInterface(length / datagrams, to) * datagrams
    this.sent += octets
    if (isCarried(to)) this.estimated += octets
  }

  countReceived(length: number, from: Endpoint, datagrams = 1): void {
    const octets = octetsAtInterface(length / datagrams, from) * datagrams
    this.received += octets
    if (isCarried(from)) this.estimated += octets
  }
}
