import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { isName } from '#shared/enrolment/name.ts'
import { isSerial } from '#shared/enrolment/unit-serial.ts'

/**
 * What the QR code of a unit's label says behind the address of its broker's page: `n=NAME&s=SERIAL&k=KEY`, KEY being the SHA-256 of the
 * identity key's SubjectPublicKeyInfo in base64url. The station writes it, scanners and the page read it.
 */
export interface LabelFields {
  /** As `checkName` gives it. */
  readonly name: string
  /** As `checkSerial` gives it. */
  readonly serial: string
  /** 64 hex digits. */
  readonly fingerprint: string
}

/** What a KEY looks like. */
export const labelKeyPattern = /^[A-Za-z0-9_-]{43}$/

/** Longest URL that is read as a label's, in characters: ours have some 200. */
export const longestLabelUrl = 1_024

export const writeLabelFields = ({ name, serial, fingerprint }: LabelFields): string =>
  `n=${name}&s=${encodeURIComponent(serial)}&k=${Buffer.from(fromHex(fingerprint)).toString('base64url')}`

/** Undefined for whatever is not three sound fields, each once. */
export function readLabelFields(text: string): LabelFields | undefined {
  const fields = new URLSearchParams(text)
  const [name, serial, key] = ['n', 's', 'k'].map((field) => only(fields.getAll(field)))
  if (!isName(name) || !isSerial(serial) || key === undefined || !labelKeyPattern.test(key)) return undefined
  return { name, serial, fingerprint: toHex(new Uint8Array(Buffer.from(key, 'base64url'))) }
}

/** The first 16 bytes, for two people to compare by voice: eight groups of four digits. */
export const shortFingerprint = (fingerprint: string): string => (fingerprint.slice(0, 32).match(/.{4}/g) ?? []).join(' ')

const only = ([value, ...others]: readonly string[]): string | undefined => (others.length > 0 ? undefined : value)
