/**
 * Certificate Request payload (RFC 7296 §3.7).
 *
 *   0          1
 *   | encoding | for X.509: SHA-1 hashes of the public keys of trusted authorities, 20 bytes each …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { CertEncoding } from '../ike-numbers.ts'
import { WireError } from '../wire-error.ts'
import type { CertReqPayload } from './payload.ts'

const HEADER_LENGTH = 1
/** SHA-1 of a SubjectPublicKeyInfo, bytes. */
export const AUTHORITY_HASH_LENGTH = 20
const hashed: readonly number[] = [CertEncoding.X509Signature, CertEncoding.HashAndUrl, CertEncoding.HashAndUrlBundle]

/** An empty list names no authority: any certificate will do. */
export function decodeCertReq(body: Uint8Array): CertReqPayload {
  const reader = new Reader(body)
  const encoding = reader.u8()
  const data = reader.rest()
  if (hashed.includes(encoding) && data.length % AUTHORITY_HASH_LENGTH !== 0)
    throw new WireError('ike-cert-req', `${data.length} bytes are no list of hashes of ${AUTHORITY_HASH_LENGTH}`)
  return { kind: 'cert-req', encoding, data }
}

export function encodeCertReq(payload: CertReqPayload, out: Uint8Array, at = 0): number {
  return new Writer(out, at).u8(payload.encoding).bytes(payload.data).at - at
}

export const lengthOfCertReq = (payload: CertReqPayload): number => HEADER_LENGTH + payload.data.length
