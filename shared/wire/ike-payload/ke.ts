/**
 * Key Exchange payload (RFC 7296 §3.4).
 *
 *   0              2   4
 *   | method (16)  | 0 | public value, its length given by the method …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { WireError } from '../wire-error.ts'
import type { KePayload } from './payload.ts'

const HEADER_LENGTH = 4

/** That the public value is as long as its group wants is known only where the group is. */
export function decodeKe(body: Uint8Array): KePayload {
  const reader = new Reader(body)
  const group = reader.u16()
  reader.skip(2)
  if (reader.left === 0) throw new WireError('ike-ke', 'a key exchange without a public value')
  return { kind: 'ke', group, data: reader.rest() }
}

export function encodeKe(payload: KePayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).u16(payload.group).u16(0).bytes(payload.data).at - at
}

export const lengthOfKe = (payload: KePayload): number => HEADER_LENGTH + payload.data.length
