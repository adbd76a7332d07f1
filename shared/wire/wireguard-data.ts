/**
 * WireGuard transport data, message type 4 (white paper §5.4.6).
 *
 *   0         4               8                   16
 *   | 4 0 0 0 | receiver (LE) | counter (64 LE)   | sealed inner packet, padded to 16, + 16 authenticator |
 *
 * The data lane reads and writes by the accessors below and makes no object; a 64-bit counter is two unsigned 32-bit words, since a
 * JS number is exact to 2^53 only.
 */
import { DATA_MIN_LENGTH } from './demux.ts'
import { WireError } from './wire-error.ts'

export { DATA_MIN_LENGTH }
export const DATA_TYPE = 4
export const DATA_HEADER_LENGTH = 16

/** Offsets, bytes. */
export const DATA = { receiver: 4, counterLow: 8, counterHigh: 12, sealed: 16 } as const

export interface Data {
  /** The receiver's index of the session, 32 bits. */
  receiver: number
  /** Exact 64-bit counter, the nonce. */
  counter: bigint
  /** Sealed padded packet and authenticator, >= 16 bytes. */
  sealed: Uint8Array
}

/** `sealed` is a view into `bytes`. */
export function decodeData(bytes: Uint8Array): Data {
  if (bytes.length < DATA_MIN_LENGTH)
    throw new WireError('wireguard-length', `transport data has at least ${DATA_MIN_LENGTH} bytes, not ${bytes.length}`)
  if (bytes[0] !== DATA_TYPE || bytes[1] !== 0 || bytes[2] !== 0 || bytes[3] !== 0)
    throw new WireError('wireguard-type', 'not transport data')
  return { receiver: receiverOf(bytes), counter: counterOf(bytes), sealed: bytes.subarray(DATA.sealed) }
}

export function encodeData(message: Data, out: Uint8Array, at = 0): number {
  const length = lengthOfData(message)
  const field = out.subarray(at, at + length)
  if (field.length < length) throw new RangeError(`this data message needs ${length} bytes of room`)
  putDataHeader(field, message.receiver, Number(message.counter >> 32n), Number(message.counter & 0xffff_ffffn))
  field.set(message.sealed, DATA.sealed)
  return length
}

export const lengthOfData = (message: Data): number => DATA_HEADER_LENGTH + message.sealed.length

/** Type and length, which no authenticator covers. */
export const isData = (bytes: Uint8Array): boolean =>
  bytes.length >= DATA_MIN_LENGTH && bytes[0] === DATA_TYPE && (bytes[1]! | bytes[2]! | bytes[3]!) === 0

/** Accessors for datagrams that `classify` has named; unsigned 32-bit words. */
export const receiverOf = (bytes: Uint8Array): number => word(bytes, DATA.receiver)
export const counterLowOf = (bytes: Uint8Array): number => word(bytes, DATA.counterLow)
export const counterHighOf = (bytes: Uint8Array): number => word(bytes, DATA.counterHigh)
export const counterOf = (bytes: Uint8Array): bigint => (BigInt(counterHighOf(bytes)) << 32n) | BigInt(counterLowOf(bytes))

export function putDataHeader(out: Uint8Array, receiver: number, counterHigh: number, counterLow: number): void {
  out[0] = DATA_TYPE
  out[1] = 0
  out[2] = 0
  out[3] = 0
  putWord(out, DATA.receiver, receiver)
  putWord(out, DATA.counterLow, counterLow)
  putWord(out, DATA.counterHigh, counterHigh)
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

/** Little-endian 32-bit word into caller-owned bytes. */
export function putWord(out: Uint8Array, at: number, value: number): void {
  out[at] = value
  out[at + 1] = value >>> 8
  out[at + 2] = value >>> 16
  out[at + 3] = value >>> 24
}
