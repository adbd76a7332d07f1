/**
 * ICMP for IPv4 (RFC 792), as far as a host needs it: echo, and the errors about our own packets.
 *
 *  |     Type      |     Code      |           Checksum            |
 *  |            identifier, sequence | unused, next-hop MTU        |
 */
export const ICMP_HEADER_LENGTH = 8

export const IcmpType = { EchoReply: 0, Unreachable: 3, Echo: 8, TimeExceeded: 11, ParameterProblem: 12 } as const

/** Codes of `Unreachable`. */
export const IcmpUnreachable = {
  Network: 0,
  Host: 1,
  Protocol: 2,
  Port: 3,
  FragmentationNeeded: 4,
  AdministrativelyProhibited: 13,
} as const

/** Error messages quote as much of the offending packet as fits here, so that no reply is larger than RFC 1812 §4.3.2.3 allows. */
export const ICMP_ERROR_LIMIT = 576

/** Whether a type is an error, about which no error may be sent (RFC 1122 §3.2.2). */
export const isIcmpError = (type: number): boolean =>
  type !== IcmpType.Echo && type !== IcmpType.EchoReply && !(type >= 13 && type <= 18)
