import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'

/** Tags and groups: letters, digits, `_.:=-`, 1 to 64 characters, case kept: `site:oslo`, `floor-2`. */
const labelPattern = /^[A-Za-z0-9][A-Za-z0-9_.:=-]{0,63}$/

/** The labels without repetition; throws AditError `name-invalid`. */
export function checkLabels(what: 'tag' | 'group', labels: readonly string[]): string[] {
  for (const label of labels) {
    if (labelPattern.test(label)) continue
    const mend = 'Use 1 to 64 letters, digits and _ . : = -, beginning with a letter or digit.'
    throw new AditError('name-invalid', `The ${what} "${escapeText(label)}" is not allowed.`, mend)
  }
  return [...new Set(labels)]
}
