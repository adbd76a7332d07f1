import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'

/** What a unit is known by on the line: nothing else can stand in a file name, a ledger line or a label by way of a serial number. */
export const serialPattern = /^[a-z0-9._:-]{1,64}$/

/** Whether it is one as `checkSerial` gives it. */
export const isSerial = (value: unknown): value is string => typeof value === 'string' && serialPattern.test(value)

/** The serial number in lower case, without the space that scanners leave around it; throws AditError `serial-invalid`. */
export function checkSerial(text: string): string {
  const serial = text.trim().replace(/[A-Z]/g, (c) => c.toLowerCase())
  if (isSerial(serial)) return serial
  throw new AditError(
    'serial-invalid',
    `"${escapeText(text)}" is no serial number of a unit.`,
    'Scan it again: 1 to 64 letters, digits, dots, colons, hyphens and underscores.',
  )
}
