import { printable } from '#shared/terminal/printable.ts'
import type { Diagnosis, Finding, FindingState } from './finding.ts'

const marks: Record<FindingState, string> = { broken: 'NO  ', warn: '?   ', ok: 'ok  ' }

/** One screen, worst first: a line for each finding, and under what is not well its mend. */
export function describe({ findings }: Diagnosis): string[] {
  const width = Math.max(0, ...findings.map(({ code }) => code.length))
  return findings.flatMap((finding) => linesOf(finding, width))
}

function linesOf({ state, code, text, mend }: Finding, width: number): string[] {
  const line = `${marks[state]}${code.padEnd(width)}  ${printable(text)}`
  return mend === '' ? [line] : [line, `    ${' '.repeat(width)}  -> ${printable(mend)}`]
}

/** What an agent tells its broker of itself: a few lines, bounded, without what is well; but by what it gets there the broker cannot see. */
export interface SelfDiagnosis {
  readonly verdict: string
  readonly findings: readonly Finding[]
}

const mostFindings = 8
const longestText = 400
const toldWhereWell = new Set(['nat64'])

export function summaryOf({ verdict, findings }: Diagnosis): SelfDiagnosis {
  const cut = (text: string): string => (text.length > longestText ? `${text.slice(0, longestText - 1)}…` : text)
  const unwell = findings.filter(({ state, code }) => state !== 'ok' || toldWhereWell.has(code)).slice(0, mostFindings)
  return { verdict, findings: unwell.map((finding) => ({ ...finding, text: cut(finding.text), mend: cut(finding.mend) })) }
}
