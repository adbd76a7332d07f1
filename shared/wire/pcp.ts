/**
 * Port Control Protocol, version 2 (RFC 6887 §7, §11, §14.1): the opcodes MAP and ANNOUNCE.
 *
 *   request   | 2 | 0 op | reserved (2)          | lifetime (4) | client address (16)          | opcode's data, options
 *   response  | 2 | 1 op | reserved (1) | result | lifetime (4) | epoch (4)   | reserved (12)  | opcode's data, options
 *   MAP       | nonce (12) | protocol (1) | reserved (3) | internal port (2) | external port (2) | external address (16)
 *
 * Addresses are IPv6; those of IPv4 stand in ::ffff:0:0/96. Options of answers are passed over: we ask for none.
 */
import { formatAddress, parseAddress } from './ip-address.ts'
import { WireError } from './wire-error.ts'

/** UDP port of the server; clients take announcements at the one below it (RFC 6887 §19.1). */
export const PCP_SERVER_PORT = 5351
export const PCP_CLIENT_PORT = 5350
export const PCP_VERSION = 2
/** Bytes. */
export const PCP_NONCE_LENGTH = 12
const HEADER_LENGTH = 24
const MAP_LENGTH = 36
const LONGEST_MESSAGE = 1100
const RESPONSE_BIT = 0x80
/** The protocol number that MAP names. */
const UDP = 17

const opcodes = ['announce', 'map'] as const
export type PcpOpcode = (typeof opcodes)[number]

/** Result codes (RFC 6887 §7.4) by their number. */
export const pcpResults = [
  'SUCCESS',
  'UNSUPP_VERSION',
  'NOT_AUTHORIZED',
  'MALFORMED_REQUEST',
  'UNSUPP_OPCODE',
  'UNSUPP_OPTION',
  'MALFORMED_OPTION',
  'NETWORK_FAILURE',
  'NO_RESOURCES',
  'UNSUPP_PROTOCOL',
  'USER_EX_QUOTA',
  'CANNOT_PROVIDE_EXTERNAL',
  'ADDRESS_MISMATCH',
  'EXCESSIVE_REMOTE_PEERS',
] as const

export interface PcpMap {
  /** 12 bytes, of the client's choice; whoever does not know it can neither change nor delete the mapping. */
  readonly nonce: Uint8Array
  readonly internalPort: number
  /** Suggested or assigned; port 0: any. */
  readonly external: { readonly address: string; readonly port: number }
}

export interface PcpRequest {
  /** Seconds; 0 deletes. */
  readonly lifetime: number
  /** The client's own address, by which the server notices a NAT in between. */
  readonly client: string
  /** MAP of UDP; left out: ANNOUNCE. */
  readonly map?: PcpMap | undefined
}

export interface PcpResponse {
  readonly opcode: PcpOpcode
  /** 0: success; else the place in `pcpResults`, or a newer one. */
  readonly result: number
  /** Seconds: of the mapping, or for how long the error stays. */
  readonly lifetime: number
  /** Seconds since the server lost its mappings. */
  readonly epoch: number
  /** What MAP of UDP was answered by; in errors as it was asked for. */
  readonly map?: PcpMap | undefined
}

/** Throws WireError where it is no response of version 2, or to an opcode or of a protocol that we do not ask for. */
export function decodePcpResponse(bytes: Uint8Array): PcpResponse {
  const view = framed(bytes)
  if ((bytes[1]! & RESPONSE_BIT) === 0) throw new WireError('pcp-request', 'a request where an answer belongs')
  const opcode = opcodes[bytes[1]! & ~RESPONSE_BIT]
  if (opcode === undefined) throw new WireError('pcp-opcode', 'an answer to an opcode that is not ours')
  const common = { opcode, result: bytes[3]!, lifetime: view.getUint32(4), epoch: view.getUint32(8) }
  // A server that knows no such version or opcode may say so by the header alone.
  const isTerse = common.result !== 0 && bytes.length < HEADER_LENGTH + MAP_LENGTH
  return opcode === 'map' && !isTerse ? { ...common, map: decodeMap(bytes, view) } : common
}

/** Throws WireError; `lifetime` and opcode may be anything else. */
export function decodePcpRequest(bytes: Uint8Array): PcpRequest {
  const view = framed(bytes)
  if ((bytes[1]! & RESPONSE_BIT) !== 0) throw new WireError('pcp-response', 'an answer where a request belongs')
  const opcode = opcodes[bytes[1]!]
  if (opcode === undefined) throw new WireError('pcp-opcode', 'an opcode that is not known')
  const common = { lifetime: view.getUint32(4), client: unmapped(bytes.slice(8, HEADER_LENGTH)) }
  return opcode === 'map' ? { ...common, map: decodeMap(bytes, view) } : common
}

function framed(bytes: Uint8Array): DataView {
  if (bytes.length < HEADER_LENGTH || bytes.length > LONGEST_MESSAGE || bytes.length % 4 !== 0)
    throw new WireError('pcp-length', `a PCP message has 24 to 1100 bytes, a multiple of 4, not ${bytes.length}`)
  if (bytes[0] !== PCP_VERSION) throw new WireError('pcp-version', `version ${bytes[0]} is not 2`)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function decodeMap(bytes: Uint8Array, view: DataView): PcpMap {
  if (bytes.length < HEADER_LENGTH + MAP_LENGTH) throw new WireError('pcp-map', 'MAP has 36 bytes after the header')
  if (bytes[36] !== UDP) throw new WireError('pcp-protocol', `a mapping of protocol ${bytes[36]} is not ours`)
  return {
    nonce: bytes.slice(HEADER_LENGTH, HEADER_LENGTH + PCP_NONCE_LENGTH),
    internalPort: view.getUint16(40),
    external: { address: unmapped(bytes.slice(44, 60)), port: view.getUint16(42) },
  }
}

export function encodePcpRequest({ lifetime, client, map }: PcpRequest): Uint8Array {
  const out = new Uint8Array(HEADER_LENGTH + (map ? MAP_LENGTH : 0))
  out[0] = PCP_VERSION
  out[1] = map ? 1 : 0
  new DataView(out.buffer).setUint32(4, lifetime)
  out.set(mapped(client), 8)
  if (map) writeMap(out, map)
  return out
}

/** For servers: ours of the tests, and of the simulated internet. */
export function encodePcpResponse({ opcode, result, lifetime, epoch, map }: PcpResponse): Uint8Array {
  const out = new Uint8Array(HEADER_LENGTH + (map ? MAP_LENGTH : 0))
  out[0] = PCP_VERSION
  out[1] = RESPONSE_BIT | opcodes.indexOf(opcode)
  out[3] = result
  const view = new DataView(out.buffer)
  view.setUint32(4, lifetime)
  view.setUint32(8, epoch)
  if (map) writeMap(out, map)
  return out
}

function writeMap(out: Uint8Array, { nonce, internalPort, external }: PcpMap): void {
  const view = new DataView(out.buffer)
  out.set(nonce, HEADER_LENGTH)
  out[36] = UDP
  view.setUint16(40, internalPort)
  view.setUint16(42, external.port)
  out.set(mapped(external.address), 44)
}

const mappedPrefix = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

function mapped(address: string): Uint8Array {
  const bytes = parseAddress(address)
  return bytes.length === 16 ? bytes : Uint8Array.of(...mappedPrefix, ...bytes)
}

function unmapped(bytes: Uint8Array): string {
  return formatAddress(mappedPrefix.every((byte, i) => byte === bytes[i]) ? bytes.slice(12) : bytes)
}
