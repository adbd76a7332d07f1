import type { UnitRecord } from '#agent/station/unit-desk.ts'
import {
  type LabelFields,
  longestLabelUrl,
  readLabelFields,
  shortFingerprint,
  writeLabelFields,
} from '#shared/enrolment/label-fields.ts'
import { AditError } from '#shared/errors.ts'

/** What a label says of one unit. Made from the ledger's record and from nothing else, so that it cannot name another unit's key. */
export interface Label {
  readonly serial: string
  readonly name: string
  /** Serial number of the certificate, hex. */
  readonly certificateSerial: string
  /** SHA-256 of the SubjectPublicKeyInfo of the unit's identity key, 64 hex digits. */
  readonly fingerprint: string
  /** Its first 16 bytes for two people to compare by voice: eight groups of four digits. */
  readonly shortFingerprint: string
  /** What the QR code holds: the pairing page, and in its fragment name, serial and the whole fingerprint. */
  readonly url: string
}

/** A unit has an identity in these steps, and may be told apart by it. */
const labelled = new Set<UnitRecord['step']>(['issued', 'writing', 'verifying', 'delivered', 'labelled'])

/**
 * `pairing`: https URL of the page where a unit is taken over. Throws AditError `label-refused` for a unit without a certificate, that
 * failed or was scrapped: a label on it would vouch for a key that it may not have.
 */
export function labelOf(record: UnitRecord, pairing: string): Label {
  const { serial, name, step, certificateSerial, spkiSha256 } = record
  if (step === 'scrapped')
    throw refused(serial, 'was scrapped', 'Print the label of the board that took its place: adit station log')
  if (!labelled.has(step)) throw refused(serial, step === 'failed' ? 'was not delivered' : 'has no certificate yet')
  if (spkiSha256 === undefined || certificateSerial === undefined || !/^[0-9a-f]{64}$/.test(spkiSha256))
    throw refused(serial, 'has no certificate yet')
  return {
    serial,
    name,
    certificateSerial,
    fingerprint: spkiSha256,
    shortFingerprint: shortFingerprint(spkiSha256),
    url: labelUrl(pairing, { serial, name, fingerprint: spkiSha256 }),
  }
}

/** A fragment never leaves the phone that reads it: no server, proxy or log on the way learns which unit was scanned. */
function labelUrl(pairing: string, fields: LabelFields): string {
  const url = new URL(pairing)
  url.hash = writeLabelFields(fields)
  return url.href
}

/** What a scanner reads of our label; undefined for any other text. */
export function readLabelUrl(text: string): LabelFields | undefined {
  const at = text.indexOf('#')
  if (at < 0 || text.length > longestLabelUrl || !/^https:\/\//i.test(text)) return undefined
  return readLabelFields(text.slice(at + 1))
}

/** A unit as a person or a scanner gives it: its serial, or its label. */
export const serialOfScan = (text: string): string => readLabelUrl(text.trim())?.serial ?? text.trim()

const refused = (serial: string, why: string, mend?: string): AditError =>
  new AditError(
    'label-refused',
    `The unit ${serial} ${why}.`,
    mend ?? `Provision it first, then print its label: adit station retry ${serial} --into PATH`,
  )
