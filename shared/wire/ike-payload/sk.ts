/** Encrypted payload (RFC 7296 §3.14): IV, ciphertext and ICV, their lengths given by the algorithms; `first` stands in the generic header. */
import { Writer } from '#shared/bytes/writer.ts'
import { WireError } from '../wire-error.ts'
import type { SkPayload } from './payload.ts'

export function decodeSk(first: number, body: Uint8Array): SkPayload {
  if (body.length === 0) throw new WireError('ike-sk', 'an empty encrypted payload')
  return { kind: 'sk', first, body }
}

export function encodeSk(payload: SkPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).bytes(payload.body).at - at
}

export const lengthOfSk = (payload: SkPayload): number => payload.body.length
