/** Vendor ID payload (RFC 7296 §3.12): any bytes, known to those who know them. */
import { Writer } from '#shared/bytes/writer.ts'
import type { VendorIdPayload } from './payload.ts'

export const decodeVendorId = (body: Uint8Array): VendorIdPayload => ({ kind: 'vendor-id', id: body })

export function encodeVendorId(payload: VendorIdPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).bytes(payload.id).at - at
}

export const lengthOfVendorId = (payload: VendorIdPayload): number => payload.id.length
