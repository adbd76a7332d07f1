/**
 * WireGuard cookie reply, message type 3 (white paper §5.4.7).
 *
 *   0         4               8            32                64
 *   | 3 0 0 0 | receiver (LE) | nonce (24) | cookie (16+16)  |
 */
import { COOKIE_REPLY_LENGTH } from './demux.ts'
import { WireError } from './wire-error.ts'

export { COOKIE_REPLY_LENGTH }
export const COOKIE_REPLY_TYPE = 3

/** Offsets, bytes. */
export const COOKIE_REPLY = { receiver: 4, nonce: 8, cookie: 32 } as const

export interface CookieReply {
  /** The sender index of the message that is answered. */
  receiver: number
  /** XChaCha20-Poly1305 nonce, 24 bytes. */
  nonce: Uint8Array
  /** Sealed cookie, 32 bytes; the mac1 of the answered message is its associated data. */
  cookie: Uint8Array
}

/** The fields are views into `bytes`. */
export function decodeCookieReply(bytes: Uint8Array): CookieReply {
  if (bytes.length !== COOKIE_REPLY_LENGTH)
    throw new WireError('wireguard-length', `a cookie reply has ${COOKIE_REPLY_LENGTH} bytes, not ${bytes.length}`)
  if (bytes[0] !== COOKIE_REPLY_TYPE || bytes[1] !== 0 || bytes[2] !== 0 || bytes[3] !== 0)
    throw new WireError('wireguard-type', 'not a cookie reply')
  return {
    receiver: new DataView(bytes.buffer, bytes.byteOffset).getUint32(COOKIE_REPLY.receiver, true),
    nonce: bytes.subarray(COOKIE_REPLY.nonce, COOKIE_REPLY.cookie),
    cookie: bytes.subarray(COOKIE_REPLY.cookie),
  }
}

export function encodeCookieReply(message: CookieReply, out: Uint8Array, at = 0): number {
  const field = out.subarray(at, at + COOKIE_REPLY_LENGTH)
  if (field.length < COOKIE_REPLY_LENGTH) throw new RangeError(`a cookie reply needs ${COOKIE_REPLY_LENGTH} bytes of room`)
  field.fill(0, 0, COOKIE_REPLY.receiver)
  field[0] = COOKIE_REPLY_TYPE
  new DataView(field.buffer, field.byteOffset).setUint32(COOKIE_REPLY.receiver, message.receiver, true)
  field.set(message.nonce, COOKIE_REPLY.nonce)
  field.set(message.cookie, COOKIE_REPLY.cookie)
  return COOKIE_REPLY_LENGTH
}

export const lengthOfCookieReply = (): number => COOKIE_REPLY_LENGTH
