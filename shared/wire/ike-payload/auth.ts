/**
 * Authentication payload (RFC 7296 §3.8).
 *
 *   0        1         4
 *   | method | 0 0 0   | signature or MAC …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { WireError } from '../wire-error.ts'
import type { AuthPayload } from './payload.ts'

const HEADER_LENGTH = 4

export function decodeAuth(body: Uint8Array): AuthPayload {
  const reader = new Reader(body)
  const method = reader.u8()
  reader.skip(3)
  if (reader.left === 0) throw new WireError('ike-auth', 'an empty proof')
  return { kind: 'auth', method, data: reader.rest() }
}

export function encodeAuth(payload: AuthPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).u8(payload.method).zeros(3).bytes(payload.data).at - at
}

export const lengthOfAuth = (payload: AuthPayload): number => HEADER_LENGTH + payload.data.length
