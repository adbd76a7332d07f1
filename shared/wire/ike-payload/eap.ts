/** EAP payload (RFC 7296 §3.16), recognised so that it can be refused by name; its message is not looked into. */
import { Writer } from '#shared/bytes/writer.ts'
import type { EapPayload } from './payload.ts'

export const decodeEap = (body: Uint8Array): EapPayload => ({ kind: 'eap', data: body })

export function encodeEap(payload: EapPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).bytes(payload.data).at - at
}

export const lengthOfEap = (payload: EapPayload): number => payload.data.length
