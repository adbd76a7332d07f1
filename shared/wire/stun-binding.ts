/**
 * The binding transaction (RFC 8489 §2, §6.3): "where do I come from?" Our answers are never larger than the question, but for a bare
 * one of 20 bytes, which the gateway's bucket bounds (P-12); our questions are padded so that their answers fit.
 */
import { tryParseAddress } from './ip-address.ts'
import {
  BINDING_METHOD,
  checkFingerprint,
  decodeStun,
  encodeStun,
  lengthOfStun,
  putFingerprint,
  STUN_HEADER_LENGTH,
  type StunAttribute,
  StunAttributeType,
  type StunMessage,
  stunAttribute,
} from './stun.ts'
import { decodeStunAddress, encodeStunAddress, type StunAddress } from './stun-address.ts'
import { WireError } from './wire-error.ts'

/** A question of this length has room for the answer with an IPv6 address: 20 + 4 + 20 bytes. */
export const PADDED_REQUEST_LENGTH = 44
const ATTRIBUTE_HEADER_LENGTH = 4
const UNKNOWN_ATTRIBUTE = 420

/** Comprehension-required attributes that a binding server of RFC 8489 understands, PADDING of RFC 5780 among them. */
const understood: ReadonlySet<number> = new Set([
  StunAttributeType.MappedAddress,
  StunAttributeType.Username,
  StunAttributeType.MessageIntegrity,
  StunAttributeType.ErrorCode,
  StunAttributeType.UnknownAttributes,
  StunAttributeType.Realm,
  StunAttributeType.Nonce,
  StunAttributeType.MessageIntegritySha256,
  StunAttributeType.PasswordAlgorithm,
  StunAttributeType.Userhash,
  StunAttributeType.XorMappedAddress,
  StunAttributeType.Padding,
])

/** A binding request, padded to `length` bytes (a multiple of 4; 20 means bare). */
export function encodeBindingRequest(transactionId: Uint8Array, length: number = PADDED_REQUEST_LENGTH): Uint8Array {
  const room = length - STUN_HEADER_LENGTH - ATTRIBUTE_HEADER_LENGTH
  const attributes = room < 0 ? [] : [{ type: StunAttributeType.Padding, value: new Uint8Array(room) }]
  return encoded({ class: 'request', method: BINDING_METHOD, transactionId, attributes })
}

/** The address that the answer to our request names; undefined where it is no such answer. Never throws. */
export function readBindingAnswer(datagram: Uint8Array, transactionId: Uint8Array): StunAddress | undefined {
  return quietly(() => {
    const message = decodeStun(datagram)
    if (message.class !== 'success' || message.method !== BINDING_METHOD) return undefined
    if (!message.transactionId.every((byte, i) => byte === transactionId[i])) return undefined
    if (checkFingerprint(datagram) === 'wrong') return undefined
    const hidden = stunAttribute(message, StunAttributeType.XorMappedAddress)
    if (hidden !== undefined) return decodeStunAddress(hidden, message.transactionId)
    const clear = stunAttribute(message, StunAttributeType.MappedAddress)
    return clear && decodeStunAddress(clear)
  })
}

/**
 * The answer to a stranger's datagram that looks like STUN, or undefined: to anything but a sound binding request, and to one that is
 * smaller than its answer would be. Never throws.
 */
export function answerBinding(request: Uint8Array, from: StunAddress): Uint8Array | undefined {
  return quietly(() => {
    const message = decodeStun(request)
    if (message.class !== 'request' || message.method !== BINDING_METHOD) return undefined
    const fingerprint = checkFingerprint(request)
    // A link-local sender's zone names an interface of ours: it is no part of the address that he asks for.
    const address = from.address.split('%', 1)[0]!
    if (fingerprint === 'wrong' || tryParseAddress(address) === undefined) return undefined
    const unknown = message.attributes.filter(({ type }) => type < 0x8000 && !understood.has(type))
    const answer = unknown.length > 0 ? refusal(message, unknown) : success(message, { address, port: from.port })
    const room = request.length === STUN_HEADER_LENGTH ? Number.POSITIVE_INFINITY : request.length
    if (fingerprint === 'valid' && lengthOfStun(answer) + 8 <= room) return fingerprinted(answer)
    return lengthOfStun(answer) <= room ? encoded(answer) : undefined
  })
}

function success({ method, transactionId }: StunMessage, from: StunAddress): StunMessage {
  const value = encodeStunAddress(from, transactionId)
  return { class: 'success', method, transactionId, attributes: [{ type: StunAttributeType.XorMappedAddress, value }] }
}

/** RFC 8489 §6.3.1: 420 and the list of what was not understood, each type once. */
function refusal({ method, transactionId }: StunMessage, unknown: readonly StunAttribute[]): StunMessage {
  const types = [...new Set(unknown.map(({ type }) => type))]
  const list = Uint8Array.from(types.flatMap((type) => [type >> 8, type & 0xff]))
  const code = Uint8Array.of(0, 0, Math.floor(UNKNOWN_ATTRIBUTE / 100), UNKNOWN_ATTRIBUTE % 100)
  const attributes = [
    { type: StunAttributeType.ErrorCode, value: code },
    { type: StunAttributeType.UnknownAttributes, value: list },
  ]
  return { class: 'error', method, transactionId, attributes }
}

function encoded(message: StunMessage): Uint8Array {
  const out = new Uint8Array(lengthOfStun(message))
  encodeStun(message, out)
  return out
}

function fingerprinted(message: StunMessage): Uint8Array {
  const attributes = [...message.attributes, { type: StunAttributeType.Fingerprint, value: new Uint8Array(4) }]
  const out = encoded({ ...message, attributes })
  putFingerprint(out)
  return out
}

function quietly<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}
