import type { Fields } from '../fields.ts'

export type Expected = 'valid' | 'invalid' | 'acceptable'

/** One case in its surroundings. */
export interface WycheproofCase {
  readonly algorithm: string
  readonly group: Fields
  readonly test: Fields
  readonly expected: Expected
  readonly flags: readonly string[]
}

/** Skipped with this reason. */
export interface Skip {
  readonly skip: string
}

/** undefined: reproduced; a string: the complaint. */
export type Judgement = undefined | string | Skip

export type GroupJudge = (one: WycheproofCase) => Judgement

export const hasFlag = (one: WycheproofCase, ...names: readonly string[]): boolean =>
  names.some((name) => one.flags.includes(name))
