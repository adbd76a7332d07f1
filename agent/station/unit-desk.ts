import type { LineCount, LineEvent, UnitStep, WayKind } from '#agent/station/line-event.ts'
import type { UnitBundle } from '#shared/enrolment/unit-bundle.ts'
import type { AditError } from '#shared/errors.ts'

/** One unit as the ledger has it. */
export interface UnitRecord {
  /** CPU serial, or what was scanned: 1 to 64 of `[a-z0-9._:-]`. */
  readonly serial: string
  readonly name: string
  readonly way: WayKind
  readonly step: UnitStep
  /** SHA-256 of the identity key's SubjectPublicKeyInfo, 64 hex digits; from `issued` on. */
  readonly spkiSha256?: string
  /** Serial number of the certificate, hex; from `issued` on. */
  readonly certificateSerial?: string
  /** How often it was begun. */
  readonly attempts: number
  /** Of the last failure. */
  readonly cause?: { readonly code: string; readonly message: string; readonly mend: string }
  /** Wall-clock ms. */
  readonly openedAt: number
  readonly deliveredAt?: number
  /** The reason that a person gave. */
  readonly scrappedFor?: string
  /** The serial of the unit in whose place it came. */
  readonly replaces?: string
}

/**
 * The station's counter, over which every unit goes. What resolves is on disk, and everything is idempotent by serial: after a power
 * cut the same calls find what they made. Throws AditError, in which case nothing happened.
 */
export interface UnitDesk {
  /** The station's name. */
  readonly station: string
  /** Gives the unit its name; the same serial finds its record again, whatever it wishes then. */
  open(serial: string, way: WayKind, wish?: { name?: string }): Promise<UnitRecord>
  /** An identity with keys that the station made: the same one until it is delivered; from then on its keys are gone here. */
  bundle(serial: string): Promise<UnitBundle>
  /**
   * A PKCS#10 request (DER) of keys made on the board. The same (serial, key) has the same certificate; another key for a delivered
   * serial is refused. `chain`: PEM of leaf, station CA, device CA (or leaf, device CA); `root`: PEM.
   */
  certify(serial: string, request: Uint8Array): Promise<{ chain: string; root: string; name: string }>
  /** X25519 public key, 32 bytes, against which tunnel keys are proven here (shared/pki/request.ts). */
  readonly enrolmentKey: Uint8Array
  /** Tells the listeners, and nobody else. `progress`: 0 to 1. */
  step(serial: string, step: 'writing' | 'verifying' | 'labelled', progress?: number): void
  /** `evidence`: what the way saw that proves it, one line. */
  delivered(serial: string, evidence: string): Promise<UnitRecord>
  failed(serial: string, error: AditError): Promise<UnitRecord>
  record(serial: string): Promise<UnitRecord | undefined>
  /** Returns what ends the listening. */
  onEvent(listener: (event: LineEvent) => void): () => void
  count(): Promise<LineCount>
}
