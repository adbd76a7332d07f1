/**
 * WireGuard handshake initiation, message type 1 (white paper §5.4.2).
 *
 *   0         4              8                 40                 88                    116    132    148
 *   | 1 0 0 0 | sender (LE)  | ephemeral (32)  | static (32+16)   | timestamp (12+16)   | mac1 | mac2 |
 */
import { INITIATION_LENGTH } from './demux.ts'
import { WireError } from './wire-error.ts'

export { INITIATION_LENGTH }
export const INITIATION_TYPE = 1

/** Offsets, bytes. */
export const INITIATION = { sender: 4, ephemeral: 8, static: 40, timestamp: 88, mac1: 116, mac2: 132 } as const

export interface Initiation {
  /** The initiator's index for this handshake, 32 bits. */
  sender: number
  /** Unencrypted ephemeral public key, 32 bytes. */
  ephemeral: Uint8Array
  /** Sealed static public key, 48 bytes. */
  static: Uint8Array
  /** Sealed TAI64N, 28 bytes. */
  timestamp: Uint8Array
  /** 16 bytes each; mac2 is zero unless a cookie is held. */
  mac1: Uint8Array
  mac2: Uint8Array
}

/** The fields are views into `bytes`. */
export function decodeInitiation(bytes: Uint8Array): Initiation {
  if (bytes.length !== INITIATION_LENGTH)
    throw new WireError('wireguard-length', `an initiation has ${INITIATION_LENGTH} bytes, not ${bytes.length}`)
  if (bytes[0] !== INITIATION_TYPE || bytes[1] !== 0 || bytes[2] !== 0 || bytes[3] !== 0)
    throw new WireError('wireguard-type', 'not a handshake initiation')
  return {
    sender: new DataView(bytes.buffer, bytes.byteOffset).getUint32(INITIATION.sender, true),
    ephemeral: bytes.subarray(INITIATION.ephemeral, INITIATION.static),
    static: bytes.subarray(INITIATION.static, INITIATION.timestamp),
    timestamp: bytes.subarray(INITIATION.timestamp, INITIATION.mac1),
    mac1: bytes.subarray(INITIATION.mac1, INITIATION.mac2),
    mac2: bytes.subarray(INITIATION.mac2),
  }
}

export function encodeInitiation(message: Initiation, out: Uint8Array, at = 0): number {
  const field = out.subarray(at, at + INITIATION_LENGTH)
  if (field.length < INITIATION_LENGTH) throw new RangeError(`an initiation needs ${INITIATION_LENGTH} bytes of room`)
  field.fill(0, 0, INITIATION.sender)
  field[0] = INITIATION_TYPE
  new DataView(field.buffer, field.byteOffset).setUint32(INITIATION.sender, message.sender, true)
  field.set(message.ephemeral, INITIATION.ephemeral)
  field.set(message.static, INITIATION.static)
  field.set(message.timestamp, INITIATION.timestamp)
  field.set(message.mac1, INITIATION.mac1)
  field.set(message.mac2, INITIATION.mac2)
  return INITIATION_LENGTH
}

export const lengthOfInitiation = (): number => INITIATION_LENGTH
