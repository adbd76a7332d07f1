/**
 * ICMP for IPv6 (RFC 4443): errors have types below 128, and the checksum covers a pseudo-header.
 *
 *  |     Type      |     Code      |           Checksum            |
 *  |            identifier, sequence | MTU | pointer | unused      |
 */
export const Icmpv6Type = {
  Unreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  Echo: 128,
  EchoReply: 129,
} as const

/** Codes of `Unreachable`. */
export const Icmpv6Unreachable = { NoRoute: 0, Prohibited: 1, Address: 3, Port: 4 } as const

/** An error message fits in the least MTU of IPv6 (RFC 4443 §2.4c). */
export const ICMPV6_ERROR_LIMIT = 1280

/** About an error no error may be sent (RFC 4443 §2.4e). */
export const isIcmpv6Error = (type: number): boolean => type < 128
