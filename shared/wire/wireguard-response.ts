/**
 * WireGuard handshake response, message type 2 (white paper §5.4.3).
 *
 *   0         4             8               12                44              60     76     92
 *   | 2 0 0 0 | sender (LE) | receiver (LE) | ephemeral (32)  | empty (0+16)  | mac1 | mac2 |
 */
import { RESPONSE_LENGTH } from './demux.ts'
import { WireError } from './wire-error.ts'

export { RESPONSE_LENGTH }
export const RESPONSE_TYPE = 2

/** Offsets, bytes. */
export const RESPONSE = { sender: 4, receiver: 8, ephemeral: 12, empty: 44, mac1: 60, mac2: 76 } as const

export interface Response {
  /** The responder's index for this handshake, 32 bits. */
  sender: number
  /** The initiator's index, as its initiation gave it. */
  receiver: number
  /** Unencrypted ephemeral public key, 32 bytes. */
  ephemeral: Uint8Array
  /** Authenticator of the empty payload, 16 bytes. */
  empty: Uint8Array
  /** 16 bytes each; mac2 is zero unless a cookie is held. */
  mac1: Uint8Array
  mac2: Uint8Array
}

/** The fields are views into `bytes`. */
export function decodeResponse(bytes: Uint8Array): Response {
  if (bytes.length !== RESPONSE_LENGTH)
    throw new WireError('wireguard-length', `a response has ${RESPONSE_LENGTH} bytes, not ${bytes.length}`)
  if (bytes[0] !== RESPONSE_TYPE || bytes[1] !== 0 || bytes[2] !== 0 || bytes[3] !== 0)
    throw new WireError('wireguard-type', 'not a handshake response')
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return {
    sender: view.getUint32(RESPONSE.sender, true),
    receiver: view.getUint32(RESPONSE.receiver, true),
    ephemeral: bytes.subarray(RESPONSE.ephemeral, RESPONSE.empty),
    empty: bytes.subarray(RESPONSE.empty, RESPONSE.mac1),
    mac1: bytes.subarray(RESPONSE.mac1, RESPONSE.mac2),
    mac2: bytes.subarray(RESPONSE.mac2),
  }
}

export function encodeResponse(message: Response, out: Uint8Array, at = 0): number {
  const field = out.subarray(at, at + RESPONSE_LENGTH)
  if (field.length < RESPONSE_LENGTH) throw new RangeError(`a response needs ${RESPONSE_LENGTH} bytes of room`)
  const view = new DataView(field.buffer, field.byteOffset)
  field.fill(0, 0, RESPONSE.sender)
  field[0] = RESPONSE_TYPE
  view.setUint32(RESPONSE.sender, message.sender, true)
  view.setUint32(RESPONSE.receiver, message.receiver, true)
  field.set(message.ephemeral, RESPONSE.ephemeral)
  field.set(message.empty, RESPONSE.empty)
  field.set(message.mac1, RESPONSE.mac1)
  field.set(message.mac2, RESPONSE.mac2)
  return RESPONSE_LENGTH
}

export const lengthOfResponse = (): number => RESPONSE_LENGTH
