import { ascii, DerReader, Tag } from '#shared/pki/der.ts'
import { oid, sequence, setOf, utf8String } from '#shared/pki/der-writer.ts'
import { names } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/** One AttributeTypeAndValue of a distinguished name (RFC 5280 §4.1.2.4). */
export interface NameAttribute {
  readonly type: string
  /** The value's text; undefined for a type that is no character string. */
  readonly text: string | undefined
  /** What two equal values share (RFC 5280 §7.1): strings case-folded with spaces collapsed, others as their bytes. */
  readonly key: string
}

/** A relative distinguished name: one attribute, or rarely several. */
export type RelativeName = readonly NameAttribute[]

/** Most relative names read in one name: a stranger's certificate may not make us compare thousands (limbo `nc-dos`). */
const relativeNameLimit = 256

/** `name`: Name DER. Throws PkiError `name-malformed` or `der-malformed`. */
export function parseName(name: Uint8Array): readonly RelativeName[] {
  const outer = new DerReader(name)
  const body = outer.sequence()
  outer.end()
  const relatives: RelativeName[] = []
  while (!body.done) {
    const set = new DerReader(body.content(Tag.Set))
    const attributes: NameAttribute[] = []
    while (!set.done) attributes.push(parseAttribute(set.sequence()))
    if (attributes.length === 0) throw new PkiError('name-malformed', 'a distinguished name with an empty part')
    if (relatives.length >= relativeNameLimit) throw new PkiError('too-large', 'a distinguished name of too many parts')
    relatives.push(attributes)
  }
  return relatives
}

function parseAttribute(reader: DerReader): NameAttribute {
  const type = reader.oid()
  const value = reader.next()
  reader.end()
  const text = textOf(value.tag, value.content)
  const key = text === undefined ? Buffer.from(value.whole).toString('hex') : `"${fold(text)}`
  return { type, text, key: `${type}=${key}` }
}

function textOf(tag: number, content: Uint8Array): string | undefined {
  switch (tag) {
    case Tag.Utf8String:
      return clean(strictUtf8(content))
    case Tag.PrintableString: {
      const text = ascii(content)
      // `*`, `@`, `&` and `_` are beyond PrintableString but were issued for decades; nothing here gives them a meaning.
      if (!/^[A-Za-z0-9 '()+,\-./:=?*@&_]*$/.test(text)) throw malformedName('a character that PrintableString has not')
      return text
    }
    case Tag.Ia5String: {
      const text = ascii(content)
      if (/[^\x20-\x7e]/.test(text)) throw malformedName('a character that IA5String has not')
      return text
    }
    case Tag.T61String:
      return clean(ascii(content))
    case Tag.BmpString:
      if (content.length % 2 !== 0) throw malformedName('half a character')
      return clean(Buffer.from(content).swap16().toString('utf16le'))
    default:
      return undefined
  }
}

function strictUtf8(content: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    throw malformedName('bytes that are not UTF-8')
  }
}

/** Control characters, NUL first among them, have cut names in two for others. */
function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) throw malformedName('a control character')
  return text
}

const malformedName = (what: string): PkiError => new PkiError('name-malformed', `a distinguished name has ${what}`)

const fold = (text: string): string => text.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ')

/** Order of attributes inside one part has no meaning. */
const relativeKey = (relative: RelativeName): string =>
  relative
    .map((attribute) => attribute.key)
    .sort()
    .join('+')

/** Equal for equal names, whatever their string types and case. */
export const nameKey = (name: readonly RelativeName[]): string => name.map(relativeKey).join('\n')

/** Whether `name` lies in the subtree that begins with `base` (RFC 5280 §4.2.1.10). */
export const nameWithin = (name: readonly RelativeName[], base: readonly RelativeName[]): boolean =>
  base.length <= name.length && base.every((relative, i) => relativeKey(relative) === relativeKey(name[i] ?? []))

/** Every value of one attribute type, in order. */
export const valuesOf = (name: readonly RelativeName[], type: string): string[] =>
  name.flat().flatMap((attribute) => (attribute.type === type && attribute.text !== undefined ? [attribute.text] : []))

/** Name DER with nothing but a common name: all that our certificates have. */
export const commonName = (text: string): Uint8Array => sequence(setOf(sequence(oid(names.commonName), utf8String(text))))
