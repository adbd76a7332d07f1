/** How a line of the diagnosis stands. `warn`: it works, but worse than it could, or not for long. */
export type FindingState = 'broken' | 'warn' | 'ok'

/** One line of a diagnosis: what is so, and what to do about it. */
export interface Finding {
  readonly state: FindingState
  /** Stable: scripts match on it. */
  readonly code: string
  /** One sentence. */
  readonly text: string
  /** One sentence; empty where nothing needs mending. */
  readonly mend: string
}

/** Everything that was found, worst first. */
export interface Diagnosis {
  /** The code of the first line that is not `ok`; `ok` where there is none. */
  readonly verdict: string
  readonly findings: readonly Finding[]
}

export const ok = (code: string, text: string): Finding => ({ state: 'ok', code, text, mend: '' })
export const warn = (code: string, text: string, mend: string): Finding => ({ state: 'warn', code, text, mend })
export const broken = (code: string, text: string, mend: string): Finding => ({ state: 'broken', code, text, mend })
