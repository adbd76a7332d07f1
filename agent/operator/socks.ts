/**
 * SOCKS 5 (RFC 1928) as far as a port forward needs it: no authentication, CONNECT alone.
 *
 *   client                                              server
 *     05 methods(1) method...                        ->
 *                                                   <-  05 method, or 05 FF
 *     05 command 00 type address port(2)             ->
 *                                                   <-  05 reply 00 01 0.0.0.0 0
 *     bytes                                         <-> bytes
 */
import type { ErrorCode } from '#shared/errors.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'
import { WireError } from '#shared/wire/wire-error.ts'

const VERSION = 5
const NO_AUTHENTICATION = 0
const NO_METHOD = 0xff
const CONNECT = 1
const AddressType = { Ipv4: 1, Domain: 3, Ipv6: 4 } as const

/** Bytes: a greeting with all methods, or a request with the longest name. */
export const SOCKS_LIMIT = 262

/** RFC 1928 §6. */
export const SocksReply = {
  Succeeded: 0,
  Failure: 1,
  NotAllowed: 2,
  NetworkUnreachable: 3,
  HostUnreachable: 4,
  Refused: 5,
  CommandUnknown: 7,
  AddressTypeUnknown: 8,
} as const

export type SocksReply = (typeof SocksReply)[keyof typeof SocksReply]

export interface SocksGreeting {
  /** Bytes of it. */
  readonly length: number
  /** Whether the client offers to go without authentication. */
  readonly isOpen: boolean
}

export interface SocksRequest {
  /** Bytes of it. */
  readonly length: number
  /** A name, or an address in its canonical text. */
  readonly host: string
  /** 0..65535 */
  readonly port: number
  /** What is wrong with it already: it is no CONNECT, or to no kind of address that is known. */
  readonly refusal: SocksReply | undefined
}

/** Undefined while there are too few bytes. Throws WireError `socks-version` for another protocol. */
export function readSocksGreeting(bytes: Uint8Array): SocksGreeting | undefined {
  requireVersion(bytes)
  const length = 2 + (bytes[1] ?? 0)
  if (bytes.length < 2 || bytes.length < length) return undefined
  return { length, isOpen: bytes.subarray(2, length).includes(NO_AUTHENTICATION) }
}

/** Undefined while there are too few bytes. Throws WireError `socks-version` for another protocol. */
export function readSocksRequest(bytes: Uint8Array): SocksRequest | undefined {
  requireVersion(bytes)
  if (bytes.length < 5) return undefined
  const [, command, , type, first = 0] = bytes
  // Of an unknown type nobody knows how long it is: it is answered and closed.
  if (type !== AddressType.Ipv4 && type !== AddressType.Domain && type !== AddressType.Ipv6)
    return { length: bytes.length, host: '', port: 0, refusal: SocksReply.AddressTypeUnknown }
  const [at, width] = type === AddressType.Domain ? [5, first] : [4, type === AddressType.Ipv4 ? 4 : 16]
  const length = at + width + 2
  if (bytes.length < length) return undefined
  const name = bytes.subarray(at, at + width)
  return {
    length,
    host: type === AddressType.Domain ? Buffer.from(name).toString('latin1') : formatAddress(bytes, at, width),
    port: (bytes[length - 2]! << 8) | bytes[length - 1]!,
    refusal: command === CONNECT ? undefined : SocksReply.CommandUnknown,
  }
}

export const socksMethod = ({ isOpen }: SocksGreeting): Uint8Array =>
  Uint8Array.of(VERSION, isOpen ? NO_AUTHENTICATION : NO_METHOD)

/** The address that the far end was reached from is nobody's concern. */
export const socksReply = (reply: SocksReply): Uint8Array => Uint8Array.of(VERSION, reply, 0, AddressType.Ipv4, 0, 0, 0, 0, 0, 0)

/** What a client is told of one of our errors. */
export function socksReplyOf(code: ErrorCode): SocksReply {
  switch (code) {
    case 'forbidden':
    case 'device-revoked':
      return SocksReply.NotAllowed
    case 'service-refused':
      return SocksReply.Refused
    case 'device-offline':
      return SocksReply.HostUnreachable
    case 'tunnel-unreachable':
    case 'broker-unreachable':
      return SocksReply.NetworkUnreachable
    default:
      return SocksReply.Failure
  }
}

function requireVersion(bytes: Uint8Array): void {
  if (bytes.length > 0 && bytes[0] !== VERSION) throw new WireError('socks-version', 'this is not SOCKS 5')
}
