/** A payload of a type that is not ours, passed over where its critical bit is not set (RFC 7296 §2.5). */
import { Writer } from '#shared/bytes/writer.ts'
import type { UnknownPayload } from './payload.ts'

export const decodeUnknown = (type: number, critical: boolean, body: Uint8Array): UnknownPayload => ({
  kind: 'unknown',
  type,
  critical,
  data: body,
})

export function encodeUnknown(payload: UnknownPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).bytes(payload.data).at - at
}

export const lengthOfUnknown = (payload: UnknownPayload): number => payload.data.length
