/**
 * The client's side of the binding transaction (RFC 8489 §2, §6.3): "where do I come from?", and the wishes of RFC 5780 for where the
 * answer comes from and goes to. Our questions are padded so that their answers fit (P-12).
 */
import {
  BINDING_METHOD,
  checkFingerprint,
  decodeStun,
  lengthOfStun,
  orUndefined,
  type StunAttribute,
  type StunMessage,
  stunAttribute,
  stunBytes,
  StunAttributeType as Type,
} from './stun.ts'
import { decodeStunAddress, type StunAddress } from './stun-address.ts'
import { WireError } from './wire-error.ts'

/** A question of this length has room for the answer with an IPv6 address: 20 + 4 + 20 bytes. */
const PADDED_REQUEST_LENGTH = 44
const ATTRIBUTE_HEADER_LENGTH = 4

/** Flags of CHANGE-REQUEST (RFC 5780 §7.2). */
export const CHANGE_ADDRESS = 4
export const CHANGE_PORT = 2

/** By which of our other sockets an answer leaves (RFC 5780 §6.1); both false: by the one that was asked. */
export interface StunChange {
  readonly address: boolean
  readonly port: boolean
}

export interface BindingWishes {
  /** Bytes, a multiple of 4; 20 means bare. Default 44. */
  readonly length?: number
  /** RESPONSE-PORT (RFC 5780 §7.5): the port of our address that the answer is to go to. */
  readonly responsePort?: number | undefined
  /** CHANGE-REQUEST (RFC 5780 §7.2). */
  readonly change?: StunChange | undefined
}

/** A binding request, padded to `length` bytes. RESPONSE-PORT excludes PADDING, so another attribute makes room beside it. */
export function encodeBindingRequest(
  transactionId: Uint8Array,
  { length = PADDED_REQUEST_LENGTH, responsePort, change }: BindingWishes = {},
): Uint8Array {
  const attributes: StunAttribute[] = []
  if (responsePort !== undefined)
    attributes.push({ type: Type.ResponsePort, value: Uint8Array.of(responsePort >>> 8, responsePort & 0xff) })
  if (change !== undefined) {
    const flags = (change.address ? CHANGE_ADDRESS : 0) | (change.port ? CHANGE_PORT : 0)
    attributes.push({ type: Type.ChangeRequest, value: Uint8Array.of(0, 0, 0, flags) })
  }
  const message: StunMessage = { class: 'request', method: BINDING_METHOD, transactionId, attributes }
  const room = length - lengthOfStun(message) - ATTRIBUTE_HEADER_LENGTH
  const filler = responsePort === undefined ? Type.Padding : Type.Room
  if (room >= 0) attributes.push({ type: filler, value: new Uint8Array(room) })
  return stunBytes(message)
}

/** What a server said of itself and us; all but `mapped` only where it speaks RFC 5780 and there was room. */
export interface BindingAnswer {
  readonly mapped: StunAddress | undefined
  /** OTHER-ADDRESS: address and port at which it is reached too, both different. */
  readonly other: StunAddress | undefined
  /** RESPONSE-ORIGIN: where the answer was sent from. */
  readonly origin: StunAddress | undefined
}

/** An answer, or the code of an error. */
export type BindingResponse = BindingAnswer | { readonly refused: number }

/** The whole answer to our request; undefined where it is none. Never throws. */
export function readBindingResponse(datagram: Uint8Array, transactionId: Uint8Array): BindingResponse | undefined {
  return orUndefined(() => {
    const message = decodeStun(datagram)
    if (message.method !== BINDING_METHOD || !message.transactionId.every((byte, i) => byte === transactionId[i]))
      return undefined
    if (checkFingerprint(datagram) === 'wrong') return undefined
    if (message.class === 'error') return { refused: errorCode(message) }
    if (message.class !== 'success') return undefined
    const hidden = stunAttribute(message, Type.XorMappedAddress)
    const mapped = hidden ? decodeStunAddress(hidden, message.transactionId) : clear(message, Type.MappedAddress)
    return { mapped, other: clear(message, Type.OtherAddress), origin: clear(message, Type.ResponseOrigin) }
  })
}

/** The address that the answer to our request names; undefined where it is no such answer. Never throws. */
export function readBindingAnswer(datagram: Uint8Array, transactionId: Uint8Array): StunAddress | undefined {
  const response = readBindingResponse(datagram, transactionId)
  return response && 'mapped' in response ? response.mapped : undefined
}

function errorCode(message: StunMessage): number {
  const value = stunAttribute(message, Type.ErrorCode)
  if (value === undefined || value.length < 4) throw new WireError('stun-error', 'an error answer has its code')
  return (value[2]! & 7) * 100 + value[3]!
}

function clear(message: StunMessage, type: number): StunAddress | undefined {
  const value = stunAttribute(message, type)
  return value && decodeStunAddress(value)
}
