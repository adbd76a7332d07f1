import { fromHex } from '#shared/bytes/hex.ts'

/** A JSON object whose fields are not yet known to be anything. */
export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

export const isFieldsArray = (value: unknown): value is readonly Fields[] => Array.isArray(value) && value.every(isFields)

/** The text of the first of `names` that is there; throws where none is. */
export function textField(fields: Fields, ...names: readonly string[]): string {
  const text = optionalText(fields, ...names)
  if (text === undefined) throw new TypeError(`the case has no text field ${names.join(' or ')}`)
  return text
}

export function optionalText(fields: Fields, ...names: readonly string[]): string | undefined {
  for (const name of names) if (typeof fields[name] === 'string') return fields[name]
  return undefined
}

/** The bytes of a field in hex; throws where it is missing or not hex. */
export const hexField = (fields: Fields, ...names: readonly string[]): Uint8Array => fromHex(textField(fields, ...names))

export function optionalHex(fields: Fields, ...names: readonly string[]): Uint8Array | undefined {
  const text = optionalText(fields, ...names)
  return text === undefined ? undefined : fromHex(text)
}

export function numberField(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value !== 'number') throw new TypeError(`the case has no number ${name}`)
  return value
}
