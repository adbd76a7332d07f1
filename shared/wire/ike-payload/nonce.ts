/** Nonce payload (RFC 7296 §3.9): 16 to 256 bytes of chance, and nothing else. */
import { Writer } from '#shared/bytes/writer.ts'
import { WireError } from '../wire-error.ts'
import type { NoncePayload } from './payload.ts'

/** Bytes. */
export const NONCE_MIN_LENGTH = 16
export const NONCE_MAX_LENGTH = 256

export function decodeNonce(body: Uint8Array): NoncePayload {
  if (body.length < NONCE_MIN_LENGTH || body.length > NONCE_MAX_LENGTH)
    throw new WireError('ike-nonce', `a nonce has ${NONCE_MIN_LENGTH} to ${NONCE_MAX_LENGTH} bytes, not ${body.length}`)
  return { kind: 'nonce', nonce: body }
}

export function encodeNonce(payload: NoncePayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).bytes(payload.nonce).at - at
}

export const lengthOfNonce = (payload: NoncePayload): number => payload.nonce.length
