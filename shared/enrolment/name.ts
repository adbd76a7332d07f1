import { AditError } from '#shared/errors.ts'

/**
 * Names of devices, operators and stations: letters, digits and inner hyphens, 1 to 63 characters, as a DNS label, compared and kept
 * in lower case. Nothing else can stand in a certificate, a topic, a path or a terminal line by way of a name.
 */
export const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** How much of a refused text an error shows, in characters. */
const shownLength = 64

/** Whether it is one as `checkName` gives it. */
export const isName = (value: unknown): value is string => typeof value === 'string' && namePattern.test(value)

/** The name in lower case; throws AditError `name-invalid` for anything else. */
export function checkName(text: string): string {
  const name = lowerCase(text)
  if (!isName(name)) throw invalid('name', text)
  return name
}

/**
 * A claim's name: exact (`pi-kitchen`) or with one counter: `pi-{n}` (1, 2, 3 …) or a run of `#` that fixes the least number of
 * digits (`pi-###`: 001, 002 …). Returns the pattern in lower case; throws `name-invalid` where an expansion could not be a name.
 */
export function checkNamePattern(text: string): string {
  const pattern = lowerCase(text)
  if ((pattern.match(/\{n\}|#+/g) ?? []).length > 1) throw invalid('name pattern', text)
  // Room for a counter of nine digits, so that a batch cannot run into a refused name half way.
  const widest = pattern.replace('{n}', '#').replace(/#+/, (run) => '9'.repeat(Math.max(run.length, 9)))
  if (hasCounter(pattern) ? !namePattern.test(widest) : !namePattern.test(pattern)) throw invalid('name pattern', text)
  return pattern
}

export const hasCounter = (pattern: string): boolean => /\{n\}|#/.test(pattern)

/** The pattern with its counter at `n` (1 and up); an exact name stays itself. */
export function expandPattern(pattern: string, n: number): string {
  const expanded = pattern.replace(/\{n\}/, String(n)).replace(/#+/, (run) => String(n).padStart(run.length, '0'))
  return checkName(expanded)
}

/** A stranger's text made safe to print: control, escape and non-ASCII characters as `\u{…}`, cut at 64 characters. */
export function escapeText(text: string): string {
  const characters = [...text]
  const shown = characters
    .slice(0, shownLength)
    .map((c) => (/^[\x20-\x7e]$/.test(c) && c !== '\\' ? c : `\\u{${c.codePointAt(0)?.toString(16)}}`))
    .join('')
  return characters.length > shownLength ? `${shown}… (${characters.length} characters)` : shown
}

/** ASCII only: `toLowerCase` would turn the Kelvin sign into `k` and accept it. */
const lowerCase = (text: string): string => text.replace(/[A-Z]/g, (c) => c.toLowerCase())

const invalid = (what: string, text: string): AditError =>
  new AditError(
    'name-invalid',
    `The ${what} "${escapeText(text)}" is not allowed.`,
    what === 'name'
      ? 'Use 1 to 63 letters, digits and hyphens, beginning and ending with a letter or digit.'
      : 'Use letters, digits and hyphens with at most one counter, as in pi-{n} or pi-###.',
  )
