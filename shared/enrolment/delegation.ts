import { checkNamePattern, expandPattern, hasCounter } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { DerReader, readSmallInteger, readWhole, Tag } from '#shared/pki/der.ts'
import { sequence, smallInteger, utf8String } from '#shared/pki/der-writer.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * What a station may do by itself. It stands in an extension of the station's CA certificate (`delegationExtension`), whose life is the
 * window, and in the broker's registry, which enforces it:
 *
 *   SEQUENCE { station UTF8String, names UTF8String, first INTEGER, last INTEGER, quota INTEGER, tags SEQUENCE OF UTF8String }
 */
export interface Scope {
  /** Name of the station. */
  readonly station: string
  /** Pattern of the units' names, with a counter: `pump-{n}`, `pump-####`. */
  readonly names: string
  /** The counter's numbers that are this station's alone: 1 to 999,999,999, both ends included. */
  readonly first: number
  readonly last: number
  /** Certificates that it may issue: 1 to 1,000,000. */
  readonly quota: number
  /** What its units are tagged with. */
  readonly tags: readonly string[]
}

export interface Delegation extends Scope {
  /** The window, wall-clock ms: nothing is issued outside. */
  readonly notBefore: number
  readonly notAfter: number
}

export const mostUnits = 1_000_000
export const mostNumber = 999_999_999
const mostTags = 64

/** The pattern in lower case; throws AditError `name-invalid` where it has no counter. */
export function checkUnitNames(text: string): string {
  const names = checkNamePattern(text)
  if (hasCounter(names)) return names
  throw new AditError(
    'name-invalid',
    `${names} names one unit alone.`,
    `Use a pattern with a counter, as in ${names}-{n} or ${names}-####.`,
  )
}

/**
 * What two patterns share that could make the same name: `pump-{n}` and `pump-1{n}` both make pump-11. Patterns of one stem are either
 * the same, with numbers of their own, or must not stand side by side.
 */
export function stemOf(names: string): string {
  const [head, tail] = halves(names)
  return `${head.replace(/\d+$/, '')}#${tail.replace(/^\d+/, '')}`
}

/** The number that makes `name` of the pattern; undefined where none does. */
export function numberIn(names: string, name: string): number | undefined {
  const [head, tail] = halves(names)
  const digits = name.slice(head.length, name.length - tail.length)
  if (!name.startsWith(head) || !name.endsWith(tail) || !/^\d{1,9}$/.test(digits)) return undefined
  const number = Number(digits)
  return number > 0 && expandPattern(names, number) === name ? number : undefined
}

/** Whether a unit may bear the name. */
export function isNameWithin({ names, first, last }: Pick<Scope, 'names' | 'first' | 'last'>, name: string): boolean {
  const number = numberIn(names, name)
  return number !== undefined && number >= first && number <= last
}

/** Value of the extension. */
export const encodeScope = ({ station, names, first, last, quota, tags }: Scope): Uint8Array =>
  sequence(
    utf8String(station),
    utf8String(names),
    smallInteger(first),
    smallInteger(last),
    smallInteger(quota),
    sequence(...tags.map(utf8String)),
  )

/** Throws PkiError `extension-malformed`, also for numbers that no delegation has. */
export function decodeScope(value: Uint8Array): Scope {
  const fields = new DerReader(readWhole(value, Tag.Sequence))
  const [station, names] = [text(fields), text(fields)]
  const [first, last, quota] = [number(fields), number(fields), number(fields)]
  const list = fields.sequence()
  fields.end()
  const tags: string[] = []
  while (!list.done) tags.push(text(list))
  const sound = first >= 1 && first <= last && last <= mostNumber && quota >= 1 && quota <= mostUnits && tags.length <= mostTags
  if (!sound || !hasCounter(names)) throw new PkiError('extension-malformed', 'a delegation that says nothing usable')
  return { station, names, first, last, quota, tags }
}

const text = (fields: DerReader): string => Buffer.from(fields.content(Tag.Utf8String)).toString('utf8')
const number = (fields: DerReader): number => readSmallInteger(fields.content(Tag.Integer))

/** What stands before the counter and after it. */
function halves(names: string): [head: string, tail: string] {
  const [head = '', tail = ''] = names.split(/\{n\}|#+/)
  return [head, tail]
}
