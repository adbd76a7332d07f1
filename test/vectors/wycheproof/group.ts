import type { Fields } from '../fields.ts'
import type { Judgement } from '../verdict.ts'

export type Expected = 'valid' | 'invalid' | 'acceptable'

/** One case in its surroundings. */
export interface WycheproofCase {
  readonly algorithm: string
  readonly group: Fields
  readonly test: Fields
  readonly expected: Expected
  readonly flags: readonly string[]
}

export type GroupJudge = (one: WycheproofCase) => Judgement

export const hasFlag = (one: WycheproofCase, ...names: readonly string[]): boolean =>
  names.some((name) => one.flags.includes(name))
