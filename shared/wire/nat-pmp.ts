/**
 * NAT Port Mapping Protocol (RFC 6886 §3.2, §3.3, §3.5), for gateways that do not speak PCP. IPv4 only.
 *
 *   ask for the address  | 0 | 0 |
 *   its answer           | 0 | 128 | result (2) | epoch (4) | external address (4) |
 *   ask for a mapping    | 0 | 1   | reserved (2) | internal port (2) | external port (2) | lifetime (4) |     op 1 is UDP
 *   its answer           | 0 | 129 | result (2) | epoch (4) | internal port (2) | external port (2) | lifetime (4) |
 *
 * A refusal may end after the epoch: so do those of gateways that do not know a version or an opcode.
 */
import { formatAddress, parseAddress } from './ip-address.ts'
import { WireError } from './wire-error.ts'

const VERSION = 0
const RESPONSE_BIT = 0x80
const MAP_UDP = 1
const ERROR_LENGTH = 8
const ADDRESS_ANSWER_LENGTH = 12
const MAP_REQUEST_LENGTH = 12
const MAP_ANSWER_LENGTH = 16

/** Result codes (RFC 6886 §3.5) by their number. */
export const natPmpResults = [
  'success',
  'unsupported version',
  'not authorized',
  'network failure',
  'out of resources',
  'unsupported opcode',
] as const

export interface NatPmpMapping {
  readonly internalPort: number
  /** Suggested or assigned; 0: any. */
  readonly externalPort: number
  /** Seconds; 0 deletes. */
  readonly lifetime: number
}

export type NatPmpRequest = { readonly kind: 'address' } | ({ readonly kind: 'map' } & NatPmpMapping)

/** `epoch`: seconds since the gateway lost its mappings. */
export type NatPmpResponse = { readonly epoch: number } & (
  | { readonly kind: 'address'; readonly address: string }
  | ({ readonly kind: 'map' } & NatPmpMapping)
  | { readonly kind: 'refused'; readonly asked: 'address' | 'map' | 'other'; readonly result: number }
)

/** Throws WireError where it is no answer of version 0, or one to a request that is not ours. */
export function decodeNatPmpResponse(bytes: Uint8Array): NatPmpResponse {
  if (bytes.length < ERROR_LENGTH) throw new WireError('nat-pmp-length', `an answer has 8 bytes at least, not ${bytes.length}`)
  if (bytes[0] !== VERSION) throw new WireError('nat-pmp-version', `version ${bytes[0]} is not 0`)
  if ((bytes[1]! & RESPONSE_BIT) === 0) throw new WireError('nat-pmp-request', 'a request where an answer belongs')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const opcode = bytes[1]! & ~RESPONSE_BIT
  const result = view.getUint16(2)
  const epoch = view.getUint32(4)
  const asked = opcode === 0 ? 'address' : opcode === MAP_UDP ? 'map' : 'other'
  if (result !== 0) return { kind: 'refused', asked, result, epoch }
  if (asked === 'address' && bytes.length === ADDRESS_ANSWER_LENGTH)
    return { kind: 'address', address: formatAddress(bytes.slice(8, 12)), epoch }
  if (asked === 'map' && bytes.length === MAP_ANSWER_LENGTH)
    return { kind: 'map', internalPort: view.getUint16(8), externalPort: view.getUint16(10), lifetime: view.getUint32(12), epoch }
  throw new WireError('nat-pmp-answer', `opcode ${opcode} with ${bytes.length} bytes is no answer to us`)
}

/** Throws WireError. */
export function decodeNatPmpRequest(bytes: Uint8Array): NatPmpRequest {
  if (bytes[0] !== VERSION) throw new WireError('nat-pmp-version', `version ${bytes[0]} is not 0`)
  if (bytes.length === 2 && bytes[1] === 0) return { kind: 'address' }
  if (bytes.length !== MAP_REQUEST_LENGTH || bytes[1] !== MAP_UDP)
    throw new WireError('nat-pmp-opcode', `opcode ${bytes[1]} with ${bytes.length} bytes is not known`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { kind: 'map', internalPort: view.getUint16(4), externalPort: view.getUint16(6), lifetime: view.getUint32(8) }
}

export function encodeNatPmpRequest(request: NatPmpRequest): Uint8Array {
  if (request.kind === 'address') return Uint8Array.of(VERSION, 0)
  const out = new Uint8Array(MAP_REQUEST_LENGTH)
  out[1] = MAP_UDP
  const view = new DataView(out.buffer)
  view.setUint16(4, request.internalPort)
  view.setUint16(6, request.externalPort)
  view.setUint32(8, request.lifetime)
  return out
}

/** For servers: ours of the tests, and of the simulated internet. */
export function encodeNatPmpResponse(response: NatPmpResponse): Uint8Array {
  const length = { refused: ERROR_LENGTH, address: ADDRESS_ANSWER_LENGTH, map: MAP_ANSWER_LENGTH }[response.kind]
  const out = new Uint8Array(length)
  const view = new DataView(out.buffer)
  const kind = response.kind === 'refused' ? response.asked : response.kind
  out[1] = RESPONSE_BIT | (kind === 'address' ? 0 : kind === 'map' ? MAP_UDP : 2)
  view.setUint32(4, response.epoch)
  if (response.kind === 'refused') view.setUint16(2, response.result)
  else if (response.kind === 'address') out.set(parseAddress(response.address), 8)
  else {
    view.setUint16(8, response.internalPort)
    view.setUint16(10, response.externalPort)
    view.setUint32(12, response.lifetime)
  }
  return out
}
