import { readable } from '#shared/ikev2/readable.ts'
import { Tag } from '#shared/pki/der.ts'
import { element, oid, sequence, setOf, utf8String } from '#shared/pki/der-writer.ts'
import { type NameAttribute, nameKey, parseName, type RelativeName } from '#shared/pki/distinguished-name.ts'

/**
 * Distinguished names as strongSwan prints and reads them: `CN=pump, O=adit`, in the order of their encoding, with its short names of
 * attribute types. That form knows no escapes, so a name with a comma in it, a part of several attributes or a type without a short name
 * has no such text.
 */
const types: readonly (readonly [oid: string, name: string, ...others: string[]])[] = [
  ['2.5.4.3', 'CN'],
  ['2.5.4.4', 'SN'],
  ['2.5.4.5', 'serialNumber'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.9', 'STREET'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['2.5.4.12', 'T'],
  ['2.5.4.13', 'D'],
  ['2.5.4.17', 'postalCode'],
  ['2.5.4.41', 'N'],
  ['2.5.4.42', 'G'],
  ['2.5.4.43', 'I'],
  ['2.5.4.45', 'ID'],
  ['2.5.4.46', 'dnQualifier'],
  ['2.5.4.65', 'pseudonym'],
  ['1.2.840.113549.1.9.1', 'E', 'Email', 'emailAddress'],
  ['1.2.840.113549.1.9.2', 'unstructuredName', 'UN'],
  ['0.9.2342.19200300.100.1.1', 'UID'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
]

/** Types whose values are IA5String (RFC 2985); how a string is encoded makes no difference to what it equals. */
const ia5Types: readonly string[] = ['1.2.840.113549.1.9.1', '1.2.840.113549.1.9.2']

/** Letters, digits, marks, punctuation and inner spaces: nothing that moves a cursor, hides or turns the text round. No comma. */
const plainValue = /^(?![ =#])[\p{L}\p{M}\p{N}\p{P}\p{S} ]+(?<! )$/u

/** Undefined where the name has no text that is read as the same name again, or is no name at all. */
export const nameText = (der: Uint8Array): string | undefined => readable(() => textOf(parseName(der)))

function textOf(name: readonly RelativeName[]): string | undefined {
  const parts = name.map(([attribute, ...more]) => (more.length > 0 ? undefined : attributeText(attribute)))
  if (parts.length === 0 || parts.includes(undefined)) return undefined
  const text = parts.join(', ')
  const again = parseNameText(text)
  return again !== undefined && nameKey(parseName(again)) === nameKey(name) ? text : undefined
}

function attributeText(attribute: NameAttribute | undefined): string | undefined {
  const { type, text = '' } = attribute ?? { type: '' }
  const known = types.find(([id]) => id === type)
  return known === undefined || text.includes(',') || !plainValue.test(text) ? undefined : `${known[1]}=${text}`
}

/** Name DER; undefined where the text is not of that form. A text that begins with a slash has slashes where others have commas. */
export function parseNameText(text: string): Uint8Array | undefined {
  const trimmed = text.trim()
  const parts = trimmed.startsWith('/') ? trimmed.slice(1).split('/') : trimmed.split(',')
  const relatives = parts.map((part) => parsePart(part))
  return relatives.includes(undefined) ? undefined : sequence(...(relatives as Uint8Array[]))
}

function parsePart(part: string): Uint8Array | undefined {
  const at = part.indexOf('=')
  const name = part.slice(0, Math.max(0, at)).trim().toLowerCase()
  const value = part.slice(at + 1).trim()
  const type = types.find(([, ...names]) => names.some((one) => one.toLowerCase() === name))?.[0]
  if (type === undefined || !plainValue.test(value)) return undefined
  const encoded = encodeValue(type, value)
  return encoded === undefined ? undefined : setOf(sequence(oid(type), encoded))
}

function encodeValue(type: string, value: string): Uint8Array | undefined {
  const ascii = /^[\x20-\x7e]+$/.test(value)
  if (ia5Types.includes(type)) return ascii ? element(Tag.Ia5String, Buffer.from(value, 'latin1')) : undefined
  return /^[A-Za-z0-9 '()+,\-./:=?]+$/.test(value)
    ? element(Tag.PrintableString, Buffer.from(value, 'latin1'))
    : utf8String(value)
}
