/**
 * Encrypted Fragment payload (RFC 7383 §2.5).
 *
 *   0              2             4
 *   | number (16)  | total (16)  | IV, ciphertext, ICV …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { WireError } from '../wire-error.ts'
import type { SkfPayload } from './payload.ts'

/** Bytes before what is encrypted; they are authenticated with the headers. */
export const SKF_HEADER_LENGTH = 4
/** More than any certificate chain needs over a path of 1280. */
export const MAX_FRAGMENTS = 16

export function decodeSkf(first: number, body: Uint8Array): SkfPayload {
  const reader = new Reader(body)
  const number = reader.u16()
  const total = reader.u16()
  if (number === 0 || number > total) throw new WireError('ike-fragment', `fragment ${number} of ${total}`)
  if (total > MAX_FRAGMENTS) throw new WireError('ike-fragment', `${total} fragments: more than ${MAX_FRAGMENTS}`)
  if (number > 1 && first !== 0) throw new WireError('ike-fragment', 'a fragment but the first names a payload')
  if (reader.left === 0) throw new WireError('ike-fragment', 'an empty fragment')
  return { kind: 'skf', first, number, total, body: reader.rest() }
}

export function encodeSkf(payload: SkfPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).u16(payload.number).u16(payload.total).bytes(payload.body).at - at
}

export const lengthOfSkf = (payload: SkfPayload): number => SKF_HEADER_LENGTH + payload.body.length
