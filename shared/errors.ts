/**
 * Errors that a person meets. Each has a stable `code` that scripts may match on, one sentence of cause,
 * one sentence of mend, and the exit status of a command line that ends with it.
 */
export class AditError extends Error {
  override readonly name = 'AditError'
  readonly code: ErrorCode
  /** What the reader can do about it: one sentence. */
  readonly mend: string

  constructor(code: ErrorCode, message: string, mend: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.mend = mend
  }

  get exitStatus(): number {
    return exitStatuses[this.code]
  }

  toJSON(): { error: ErrorCode; message: string; mend: string } {
    return { error: this.code, message: this.message, mend: this.mend }
  }
}

/** Every stable code with the exit status of a command that ends with it. 2: usage; 3: refused; 4: not there; 5: this machine. */
export const exitStatuses = {
  usage: 2,
  'config-invalid': 2,
  'name-invalid': 2,
  internal: 1,
  'claim-malformed': 3,
  'claim-unknown': 3,
  'claim-used': 3,
  'claim-expired': 3,
  'claim-wrong-role': 3,
  'claim-revoked': 3,
  'claim-wrong-serial': 3,
  'enrolment-denied': 3,
  'enrolment-waiting': 4,
  'request-decided': 3,
  'hook-failed': 4,
  'not-offered': 3,
  'ca-mismatch': 3,
  'certificate-refused': 3,
  'request-refused': 3,
  forbidden: 3,
  'rate-limited': 3,
  revoked: 3,
  'host-key-changed': 3,
  'statement-refused': 3,
  'fleet-key-refused': 3,
  'not-enrolled': 4,
  'already-enrolled': 3,
  'device-unknown': 4,
  'device-offline': 4,
  'device-revoked': 3,
  'name-taken': 3,
  'subnet-taken': 3,
  'not-found': 4,
  'serial-invalid': 2,
  'voucher-malformed': 3,
  'voucher-foreign': 3,
  'voucher-expired': 3,
  'voucher-replayed': 3,
  'voucher-doubled': 3,
  'voucher-missing': 4,
  'factory-refused': 3,
  'unit-unknown': 4,
  'unit-delivered': 3,
  'unit-scrapped': 3,
  'quota-exhausted': 3,
  'delegation-over': 3,
  'outside-scope': 3,
  'ca-too-flat': 3,
  'ca-phase': 3,
  'ca-offline': 4,
  'ca-due': 3,
  'ledger-damaged': 5,
  'ledger-forked': 5,
  'broker-unreachable': 4,
  'proxy-auth': 4,
  'proxy-refused': 4,
  'broker-not-running': 4,
  'tunnel-unreachable': 4,
  'service-refused': 4,
  'state-locked': 5,
  'port-in-use': 5,
  'disk-full': 5,
  'storage-failed': 5,
  'storage-too-old': 5,
  'backup-damaged': 5,
  'backup-newer': 5,
  'passphrase-wrong': 3,
  'permission-unsafe': 5,
  'permission-missing': 5,
  'network-overlap': 5,
  'network-failed': 5,
  'clock-wrong': 5,
  'no-ssh': 5,
  'label-refused': 3,
  'printer-failed': 5,
  'key-token-missing': 5,
  'key-token-refused': 3,
  'bundle-damaged': 3,
  'card-refused': 5,
  'device-busy': 5,
  'feature-missing': 5,
  'line-lost': 4,
  'serial-mismatch': 3,
  'station-unreachable': 4,
} as const

export type ErrorCode = keyof typeof exitStatuses

export function isAditError(value: unknown): value is AditError {
  return value instanceof AditError
}

/** Any thrown value as an AditError, so that a command line always ends with a sentence. */
export function toAditError(value: unknown): AditError {
  if (isAditError(value)) return value
  const message = value instanceof Error ? value.message : String(value)
  return new AditError('internal', message, 'This is a defect in adit: please report it with the log.', { cause: value })
}
