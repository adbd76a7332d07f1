import { checkUnitNames } from '#shared/enrolment/delegation.ts'
import { escapeText, expandPattern } from '#shared/enrolment/name.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError, isAditError } from '#shared/errors.ts'

/** One board of a batch. */
export interface BatchUnit {
  readonly serial: string
  /** Undefined: the next of the pattern. */
  readonly name?: string
}

/** Lines of a list at most. */
const mostUnits = 100_000

/**
 * A list of boards: one a line, the serial number and, behind a comma or a tab, a name. A first line `serial` or `serial,name` is a heading;
 * empty lines and those that begin with `#` are passed over. Throws AditError `usage`, which names the line, for one that cannot be read and
 * for a serial or a name that stands there twice.
 */
export function parseBatchList(text: string): BatchUnit[] {
  const units: BatchUnit[] = []
  const lineOf = new Map<string, number>()
  const once = (what: string, value: string, line: number): void => {
    const before = lineOf.get(`${what} ${value}`)
    if (before !== undefined) throw bad(line, `the ${what} ${value} stands in line ${before} already`)
    lineOf.set(`${what} ${value}`, line)
  }
  for (const [at, row] of text
    .replace(/^\u{feff}/u, '')
    .split(/\r?\n/)
    .entries()) {
    const line = at + 1
    if (row.trim() === '' || row.trimStart().startsWith('#')) continue
    const [first = '', second = '', ...more] = row.split(/[,;\t]/).map((field) => field.trim().replace(/^"(.*)"$/, '$1'))
    if (units.length === 0 && lineOf.size === 0 && /^serial$/i.test(first)) continue
    if (more.some((field) => field !== '')) throw bad(line, 'it has more than a serial number and a name')
    const serial = serialIn(first, line)
    once('serial number', serial, line)
    const name = second.toLowerCase()
    if (name !== '') once('name', name, line)
    units.push({ serial, ...(name !== '' && { name }) })
    if (units.length > mostUnits) throw bad(line, `a batch has ${mostUnits} boards at most`)
  }
  return units
}

/** `count` serial numbers of a pattern with a counter, from `first` on: for boards that are numbered by the line itself. */
export function countedUnits(pattern: string, count: number, first = 1): BatchUnit[] {
  const serials = checkUnitNames(pattern)
  return Array.from({ length: count }, (_, at) => ({ serial: expandPattern(serials, first + at) }))
}

function serialIn(text: string, line: number): string {
  try {
    return checkSerial(text)
  } catch (error) {
    if (isAditError(error)) throw bad(line, `"${escapeText(text)}" is no serial number`)
    throw error
  }
}

const bad = (line: number, what: string): AditError =>
  new AditError('usage', `Line ${line} of the list: ${what}.`, 'Write one board a line: SERIAL or SERIAL,NAME.')
