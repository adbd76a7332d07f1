import { AditError } from '#shared/errors.ts'
import { type SuiteName, suiteNames } from '#shared/tunnel/association.ts'

/** The word after `--suite`. Throws AditError `usage`. */
export function parseSuiteName(text: string): SuiteName {
  const suite = suiteNames.find((name) => name === text)
  if (suite === undefined) throw new AditError('usage', `"${text}" is no suite.`, `Write one of: ${suiteNames.join(', ')}.`)
  return suite
}
