import type { WallTime } from '#shared/time/instant.ts'

/** A certificate (RFC 5280 §4.1), parsed strictly. Byte fields are views into `der`. */
export interface Certificate {
  readonly der: Uint8Array
  /** The signed part, header included. */
  readonly tbs: Uint8Array
  readonly version: 1 | 2 | 3
  /** Content octets of the serial INTEGER. */
  readonly serial: Uint8Array
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBefore: WallTime
  readonly notAfter: WallTime
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array
  readonly extensions: ReadonlyMap<string, { critical: boolean; value: Uint8Array }>
}

/** Throws PkiError and nothing else, whatever the bytes. */
export declare function parseCertificate(der: Uint8Array): Certificate
