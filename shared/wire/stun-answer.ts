/**
 * The server's side of the binding transaction (RFC 8489 §6.3.1, RFC 5780 §6.1). No answer is larger than its question, but for that to
 * a bare one of 20 bytes, which the gateway's bucket bounds (P-12); a question that is too small for its answer gets silence.
 */
import { tryParseAddress } from './ip-address.ts'
import {
  BINDING_METHOD,
  checkFingerprint,
  decodeStun,
  lengthOfStun,
  orUndefined,
  putFingerprint,
  STUN_HEADER_LENGTH,
  type StunAttribute,
  type StunMessage,
  stunAttribute,
  stunBytes,
  StunAttributeType as Type,
} from './stun.ts'
import { encodeStunAddress, type StunAddress } from './stun-address.ts'
import { CHANGE_ADDRESS, CHANGE_PORT, type StunChange } from './stun-binding.ts'
import { WireError } from './wire-error.ts'

const ATTRIBUTE_HEADER_LENGTH = 4
const FINGERPRINT_FIELD_LENGTH = 8
const BAD_REQUEST = 400
const UNKNOWN_ATTRIBUTE = 420
/** PADDING shorter than this only makes room; from here on it asks how long datagrams fare (RFC 5780 §7.6). Bytes. */
const LONG_PADDING = 256
/** The longest answer, so that none is ever fragmented: 1280 bytes less the headers of IPv6 and UDP. */
const LONGEST_ANSWER = 1232

/** The sockets of a server that speaks RFC 5780, as seen from the one that was asked. */
export interface StunSeat {
  /** Where answers under this change are sent from; undefined where there is no such socket. */
  origin(change: StunChange): StunAddress | undefined
  /** OTHER-ADDRESS, where there is one that differs in address and port. */
  readonly other: StunAddress | undefined
}

export interface BindingReply {
  readonly datagram: Uint8Array
  /** The sender's address, at the port that he asked for. */
  readonly to: StunAddress
  readonly change: StunChange
}

const unchanged: StunChange = { address: false, port: false }

/** Comprehension-required attributes that a binding server understands (RFC 8489, RFC 5780). */
const understood: ReadonlySet<number> = new Set([
  Type.MappedAddress,
  Type.Username,
  Type.MessageIntegrity,
  Type.ErrorCode,
  Type.UnknownAttributes,
  Type.Realm,
  Type.Nonce,
  Type.MessageIntegritySha256,
  Type.PasswordAlgorithm,
  Type.Userhash,
  Type.XorMappedAddress,
  Type.Padding,
  Type.ResponsePort,
])

/**
 * What to send to a stranger whose datagram looks like STUN, or undefined: to anything but a sound binding request, and to one that is
 * smaller than its answer would be. Never throws. Without `seat`, CHANGE-REQUEST is an unknown attribute (RFC 5780 §6.1).
 */
export function replyToBinding(request: Uint8Array, from: StunAddress, seat?: StunSeat): BindingReply | undefined {
  return orUndefined(() => {
    const message = decodeStun(request)
    if (message.class !== 'request' || message.method !== BINDING_METHOD) return undefined
    const fingerprint = checkFingerprint(request)
    // A link-local sender's zone names an interface of ours: it is no part of the address that he asks for.
    const sender = { address: from.address.split('%', 1)[0]!, port: from.port }
    if (fingerprint === 'wrong' || tryParseAddress(sender.address) === undefined) return undefined
    const room = { total: request.length, fingerprint: fingerprint === 'valid' }
    const { change, responsePort } = wishes(message)
    const origin = seat?.origin(change ?? unchanged)
    const isUnknown = ({ type }: StunAttribute): boolean =>
      type === Type.ChangeRequest ? origin === undefined : type < 0x8000 && !understood.has(type)
    const unknown = message.attributes.filter(isUnknown)
    const padding = stunAttribute(message, Type.Padding)
    // RFC 5780 §7.5: they exclude each other.
    const isAtOdds = responsePort !== undefined && padding !== undefined
    if (unknown.length > 0 || isAtOdds || responsePort === 0) {
      const datagram = fitted(unknown.length > 0 ? unknownAttributes(message, unknown) : refusal(message, BAD_REQUEST), room)
      return datagram && { datagram, to: from, change: unchanged }
    }
    const isTest = change !== undefined || responsePort !== undefined
    const datagram = success(message, sender, { room, seat, origin, isTest, isLong: (padding?.length ?? 0) >= LONG_PADDING })
    return datagram && { datagram, to: { address: from.address, port: responsePort ?? from.port }, change: change ?? unchanged }
  })
}

/** The answer alone, for who asks without wishes. */
export const answerBinding = (request: Uint8Array, from: StunAddress): Uint8Array | undefined =>
  replyToBinding(request, from)?.datagram

interface Room {
  /** The request's length, bytes: 20 is no bound. */
  total: number
  /** Whether the answer is to have FINGERPRINT, where it fits. */
  fingerprint: boolean
}

function success(
  { method, transactionId }: StunMessage,
  sender: StunAddress,
  asked: {
    room: Room
    seat: StunSeat | undefined
    origin: StunAddress | undefined
    isTest: boolean
    isLong: boolean
  },
): Uint8Array | undefined {
  const { room, seat, origin, isTest, isLong } = asked
  const answer = (...attributes: StunAttribute[]): StunMessage => ({ class: 'success', method, transactionId, attributes })
  const mapped = { type: Type.XorMappedAddress, value: encodeStunAddress(sender, transactionId) }
  const other = seat?.other && { type: Type.OtherAddress, value: encodeStunAddress(seat.other) }
  if (room.total === STUN_HEADER_LENGTH) return stunBytes(other ? answer(mapped, other) : answer(mapped))
  const plain = fitted(answer(mapped), room)
  // That it arrives is all that tests of filters and lifetimes ask: where there is no room for more, the bare header says it.
  if (plain === undefined) return isTest ? fitted(answer(), { ...room, fingerprint: false }) : undefined
  const attributes: StunAttribute[] = [mapped]
  const add = (...more: readonly StunAttribute[]): boolean => {
    const spare = room.fingerprint ? FINGERPRINT_FIELD_LENGTH : 0
    const fits = lengthOfStun(answer(...attributes, ...more)) + spare <= room.total
    if (fits) attributes.push(...more)
    return fits
  }
  const source = origin && { type: Type.ResponseOrigin, value: encodeStunAddress(origin) }
  if (source && add(...(other ? [other] : []), source)) add({ type: Type.MappedAddress, value: encodeStunAddress(sender) })
  if (isLong) {
    const spare = room.fingerprint ? FINGERPRINT_FIELD_LENGTH : 0
    const length = Math.min(room.total, LONGEST_ANSWER) - lengthOfStun(answer(...attributes)) - ATTRIBUTE_HEADER_LENGTH - spare
    if (length >= 0) add({ type: Type.Padding, value: new Uint8Array(length) })
  }
  return fitted(answer(...attributes), room)
}

function wishes(message: StunMessage): { change: StunChange | undefined; responsePort: number | undefined } {
  const change = stunAttribute(message, Type.ChangeRequest)
  if (change !== undefined && change.length !== 4) throw new WireError('stun-change', 'CHANGE-REQUEST has 4 bytes')
  const port = stunAttribute(message, Type.ResponsePort)
  // Two bytes and padding, or four of which two are padding: both are read out of RFC 5780 §7.5.
  if (port !== undefined && port.length !== 2 && port.length !== 4)
    throw new WireError('stun-response-port', 'RESPONSE-PORT has 2 bytes')
  return {
    change: change && { address: (change[3]! & CHANGE_ADDRESS) !== 0, port: (change[3]! & CHANGE_PORT) !== 0 },
    responsePort: port && (port[0]! << 8) | port[1]!,
  }
}

/** RFC 8489 §6.3.1: 420 and the list of what was not understood, each type once. */
function unknownAttributes(request: StunMessage, unknown: readonly StunAttribute[]): StunMessage {
  const types = [...new Set(unknown.map(({ type }) => type))]
  const value = Uint8Array.from(types.flatMap((type) => [type >> 8, type & 0xff]))
  const answer = refusal(request, UNKNOWN_ATTRIBUTE)
  return { ...answer, attributes: [...answer.attributes, { type: Type.UnknownAttributes, value }] }
}

/** RFC 8489 §14.8, without a phrase: it would only make the answer longer. */
function refusal({ method, transactionId }: StunMessage, code: number): StunMessage {
  const value = Uint8Array.of(0, 0, Math.floor(code / 100), code % 100)
  return { class: 'error', method, transactionId, attributes: [{ type: Type.ErrorCode, value }] }
}

/** The message, with FINGERPRINT where it is wanted and fits; undefined where the message alone does not. */
function fitted(message: StunMessage, { total, fingerprint }: Room): Uint8Array | undefined {
  const room = total === STUN_HEADER_LENGTH ? Number.POSITIVE_INFINITY : total
  const length = lengthOfStun(message)
  if (fingerprint && length + FINGERPRINT_FIELD_LENGTH <= room) return fingerprinted(message)
  return length <= room ? stunBytes(message) : undefined
}

function fingerprinted(message: StunMessage): Uint8Array {
  const attributes = [...message.attributes, { type: Type.Fingerprint, value: new Uint8Array(4) }]
  const out = stunBytes({ ...message, attributes })
  putFingerprint(out)
  return out
}
