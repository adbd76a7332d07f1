/**
 * Certificate payload (RFC 7296 §3.6): one certificate each, the leaf's first.
 *
 *   0          1
 *   | encoding | certificate …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { WireError } from '../wire-error.ts'
import type { CertPayload } from './payload.ts'

const HEADER_LENGTH = 1

export function decodeCert(body: Uint8Array): CertPayload {
  const reader = new Reader(body)
  const encoding = reader.u8()
  if (reader.left === 0) throw new WireError('ike-cert', 'an empty certificate')
  return { kind: 'cert', encoding, data: reader.rest() }
}

export function encodeCert(payload: CertPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).u8(payload.encoding).bytes(payload.data).at - at
}

export const lengthOfCert = (payload: CertPayload): number => HEADER_LENGTH + payload.data.length
