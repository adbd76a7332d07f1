/**
 * STUN messages (RFC 8489 §5, §14).
 *
 *   0       2        4               8                        20
 *   | type  | length | 21 12 A4 42   | transaction id (12)    | attributes: type (2), length (2), value, padding to 4 …
 *
 *   type: 00 M11…M7 C1 M6 M5 M4 C0 M3…M0 — the method's 12 bits with the class's two between them
 */
import { equalConstantTime } from '#shared/bytes/equal.ts'
import { crc32 } from './crc32.ts'
import { WireError } from './wire-error.ts'

/** Bytes. */
export const STUN_HEADER_LENGTH = 20
export const TRANSACTION_ID_LENGTH = 12
export const MAGIC_COOKIE = 0x2112a442
const ATTRIBUTE_HEADER_LENGTH = 4
const FINGERPRINT_LENGTH = 4
const FINGERPRINT_XOR = 0x5354554e
/** No STUN message of ours or of any server that we ask has more; a bound for hostile ones. */
const MAX_ATTRIBUTES = 64

export type StunClass = 'request' | 'indication' | 'success' | 'error'
const classes: readonly StunClass[] = ['request', 'indication', 'success', 'error']

export const BINDING_METHOD = 0x001

/** Attribute types (RFC 8489 §18.3, RFC 5780 §9). Below 0x8000 the reader must understand them. */
export const StunAttributeType = {
  MappedAddress: 0x0001,
  ChangeRequest: 0x0003,
  Username: 0x0006,
  MessageIntegrity: 0x0008,
  ErrorCode: 0x0009,
  UnknownAttributes: 0x000a,
  Realm: 0x0014,
  Nonce: 0x0015,
  MessageIntegritySha256: 0x001c,
  PasswordAlgorithm: 0x001d,
  Userhash: 0x001e,
  XorMappedAddress: 0x0020,
  Padding: 0x0026,
  ResponsePort: 0x0027,
  Software: 0x8022,
  AlternateServer: 0x8023,
  Fingerprint: 0x8028,
  ResponseOrigin: 0x802b,
  OtherAddress: 0x802c,
  /** Ours, of the types that nobody has been given: room in a request that may have no PADDING. */
  Room: 0xfe5c,
} as const

export interface StunAttribute {
  /** 16 bits. */
  type: number
  /** Without padding, 0..65535 bytes. */
  value: Uint8Array
}

export interface StunMessage {
  class: StunClass
  /** 12 bits. */
  method: number
  /** 12 bytes. */
  transactionId: Uint8Array
  /** In the order of the message. */
  attributes: StunAttribute[]
}

/** Values are views into `bytes`. Padding may have any content (RFC 5769 pads with spaces). */
export function decodeStun(bytes: Uint8Array): StunMessage {
  if (bytes.length < STUN_HEADER_LENGTH)
    throw new WireError('stun-length', `a STUN message has at least 20 bytes, not ${bytes.length}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const type = view.getUint16(0)
  if (type > 0x3fff) throw new WireError('stun-type', 'the top two bits of a STUN message are zero')
  if (view.getUint32(4) !== MAGIC_COOKIE) throw new WireError('stun-cookie', 'the magic cookie is missing')
  const length = view.getUint16(2)
  if (length % 4 !== 0 || STUN_HEADER_LENGTH + length !== bytes.length)
    throw new WireError('stun-length', `the header speaks of ${length} bytes, ${bytes.length - STUN_HEADER_LENGTH} follow`)
  return {
    class: classes[((type >> 4) & 1) | ((type >> 7) & 2)]!,
    method: (type & 0xf) | ((type >> 1) & 0x70) | ((type >> 2) & 0xf80),
    transactionId: bytes.subarray(8, STUN_HEADER_LENGTH),
    attributes: decodeAttributes(bytes, view),
  }
}

function decodeAttributes(bytes: Uint8Array, view: DataView): StunAttribute[] {
  const attributes: StunAttribute[] = []
  let at = STUN_HEADER_LENGTH
  while (at < bytes.length) {
    // The rest is a multiple of 4, so the four bytes of a header are there.
    const from = at + ATTRIBUTE_HEADER_LENGTH
    const end = from + view.getUint16(at + 2)
    if (end > bytes.length) throw new WireError('stun-attribute', 'an attribute is longer than its message')
    if (attributes.length === MAX_ATTRIBUTES) throw new WireError('stun-attributes', `more than ${MAX_ATTRIBUTES} attributes`)
    attributes.push({ type: view.getUint16(at), value: bytes.subarray(from, end) })
    at = from + padded(end - from)
  }
  return attributes
}

export function encodeStun(message: StunMessage, out: Uint8Array, at = 0): number {
  const length = lengthOfStun(message)
  const field = out.subarray(at, at + length)
  if (field.length < length) throw new RangeError(`this STUN message needs ${length} bytes of room`)
  const view = new DataView(field.buffer, field.byteOffset, field.byteLength)
  const { method } = message
  const kind = classes.indexOf(message.class)
  view.setUint16(0, (method & 0xf) | ((kind & 1) << 4) | ((method & 0x70) << 1) | ((kind & 2) << 7) | ((method & 0xf80) << 2))
  view.setUint16(2, length - STUN_HEADER_LENGTH)
  view.setUint32(4, MAGIC_COOKIE)
  field.set(message.transactionId, 8)
  let to = STUN_HEADER_LENGTH
  for (const { type, value } of message.attributes) {
    view.setUint16(to, type)
    view.setUint16(to + 2, value.length)
    to += ATTRIBUTE_HEADER_LENGTH
    field.set(value, to)
    field.fill(0, to + value.length, to + padded(value.length))
    to += padded(value.length)
  }
  return length
}

export function lengthOfStun(message: StunMessage): number {
  let length = STUN_HEADER_LENGTH
  for (const { value } of message.attributes) length += ATTRIBUTE_HEADER_LENGTH + padded(value.length)
  return length
}

/** The whole message in bytes of its own. */
export function stunBytes(message: StunMessage): Uint8Array {
  const out = new Uint8Array(lengthOfStun(message))
  encodeStun(message, out)
  return out
}

/** What `read` makes of a stranger's bytes; undefined where they break a rule of the format. */
export function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

const padded = (length: number): number => (length + 3) & ~3

/** The transaction id of a binding request; undefined where the bytes are none. */
export const bindingRequestId = (bytes: Uint8Array): Uint8Array | undefined =>
  orUndefined(() => {
    const { class: kind, method, transactionId } = decodeStun(bytes)
    return kind === 'request' && method === BINDING_METHOD ? transactionId : undefined
  })

/** The first attribute of this type; RFC 8489 §14: of several, the first counts. */
export const stunAttribute = (message: StunMessage, type: number): Uint8Array | undefined =>
  message.attributes.find((attribute) => attribute.type === type)?.value

/** Whether FINGERPRINT (RFC 8489 §14.7) is there, last and right; `absent` where there is none. */
export function checkFingerprint(bytes: Uint8Array): 'valid' | 'wrong' | 'absent' {
  const message = decodeStun(bytes)
  const at = message.attributes.findIndex(({ type }) => type === StunAttributeType.Fingerprint)
  if (at < 0) return 'absent'
  const { value } = message.attributes[at]!
  if (at !== message.attributes.length - 1 || value.length !== FINGERPRINT_LENGTH) return 'wrong'
  const covered = bytes.subarray(0, bytes.length - ATTRIBUTE_HEADER_LENGTH - FINGERPRINT_LENGTH)
  const stated = new DataView(value.buffer, value.byteOffset).getUint32(0)
  return stated === (crc32(covered) ^ FINGERPRINT_XOR) >>> 0 ? 'valid' : 'wrong'
}

/** Fills a FINGERPRINT that is the last attribute of the encoded message `bytes`. */
export function putFingerprint(bytes: Uint8Array): void {
  const covered = bytes.subarray(0, bytes.length - ATTRIBUTE_HEADER_LENGTH - FINGERPRINT_LENGTH)
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(
    bytes.length - FINGERPRINT_LENGTH,
    (crc32(covered) ^ FINGERPRINT_XOR) >>> 0,
  )
}

/** HMAC of some parts under the credential's key; the caller brings the hash (SHA-1 or SHA-256). */
export type StunMac = (...parts: readonly Uint8Array[]) => Uint8Array

/**
 * Whether MESSAGE-INTEGRITY (SHA-1, 20 bytes) or MESSAGE-INTEGRITY-SHA256 (16 to 32 bytes, a multiple of 4) is right: the MAC covers
 * all before it, under a header whose length ends with it (RFC 8489 §14.5, §14.6).
 */
export function checkIntegrity(bytes: Uint8Array, type: number, mac: StunMac): 'valid' | 'wrong' | 'absent' {
  const message = decodeStun(bytes)
  const attribute = message.attributes.find((candidate) => candidate.type === type)
  if (attribute === undefined) return 'absent'
  const { value } = attribute
  const isSha256 = type === StunAttributeType.MessageIntegritySha256
  const isLengthRight = isSha256 ? value.length >= 16 && value.length <= 32 && value.length % 4 === 0 : value.length === 20
  if (!isLengthRight) return 'wrong'
  const end = value.byteOffset - bytes.byteOffset
  const header = bytes.slice(0, STUN_HEADER_LENGTH)
  new DataView(header.buffer).setUint16(2, end + value.length - STUN_HEADER_LENGTH)
  const expected = mac(header, bytes.subarray(STUN_HEADER_LENGTH, end - ATTRIBUTE_HEADER_LENGTH))
  return equalConstantTime(expected.subarray(0, value.length), value) ? 'valid' : 'wrong'
}
