/**
 * Why a certificate, request or path was refused. The code and message are for the log of the side that judges; what a stranger is
 * told stays one generic sentence.
 */
export class PkiError extends Error {
  override readonly name = 'PkiError'
  readonly code: PkiErrorCode

  constructor(code: PkiErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export type PkiErrorCode =
  // Encoding
  | 'der-malformed'
  | 'too-large'
  | 'certificate-malformed'
  | 'extension-malformed'
  | 'name-malformed'
  | 'request-malformed'
  | 'signed-data-malformed'
  | 'crl-malformed'
  // Algorithms and keys
  | 'algorithm-unsupported'
  | 'key-unsupported'
  | 'key-weak'
  | 'signature-invalid'
  // Profile of RFC 5280
  | 'version-unsupported'
  | 'serial-invalid'
  | 'extension-duplicate'
  | 'extension-critical-unknown'
  | 'extension-criticality'
  | 'extension-forbidden'
  | 'extension-missing'
  | 'key-identifier-mismatch'
  | 'subject-empty'
  | 'issuer-empty'
  // Path
  | 'not-yet-valid'
  | 'expired'
  | 'issuer-unknown'
  | 'issuer-not-ca'
  | 'issuer-key-usage'
  | 'path-length'
  | 'path-too-deep'
  | 'budget-exhausted'
  | 'peer-is-ca'
  | 'key-usage'
  | 'purpose'
  | 'name-mismatch'
  | 'name-constraint-violated'
  | 'name-constraint-unsupported'
  | 'policy-unsupported'
  | 'revoked'
  // Requests and identities
  | 'possession-unproven'
  | 'identity-malformed'
