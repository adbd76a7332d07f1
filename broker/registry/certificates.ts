/** One issued certificate. */
export interface CertificateRecord {
  principalId: number
  /** SHA-256 of the issuer's SPKI, hex. */
  issuerHex: string
  serialHex: string
  spkiSha256Hex: string
  der: Uint8Array
  /** Wall-clock ms. */
  notBefore: number
  notAfter: number
  /** The tunnel key that it binds, 64 hex digits. Becomes the principal's. */
  tunnelKey?: string
  /** The claim (16 hex digits) that it was issued for; absent for a renewal. */
  claimId?: string
}

export declare class CertificateStore {
  /**
   * Durable before it resolves. Returns the DER that holds: where a certificate for the same (claim, key) was recorded first, that
   * one, and the offered one is forgotten (A-46, P-19). Extends the principal's `expiresAt`, binds new keys to it. Throws AditError
   * `revoked` where the principal was revoked meanwhile, `request-refused` where a key belongs to another principal.
   */
  record(certificate: CertificateRecord): Promise<Uint8Array>
  /** Synchronous. By identity key, or by (issuer, serial), never by certificate hash. */
  isRevoked(certificate: { spkiSha256Hex: string; issuerHex: string; serialHex: string }): boolean
  list(principalId: number): Promise<(CertificateRecord & { revokedAt?: number })[]>
  revoke(issuerHex: string, serialHex: string): Promise<void>
}
