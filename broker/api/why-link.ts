/** One link of the chain from the operator to the device's service: how it stands, and the mend where it does not hold. */
export interface Link {
  /** Stable name. */
  readonly code: string
  readonly state: 'broken' | 'warn' | 'ok'
  readonly text: string
  /** Empty where nothing needs mending. */
  readonly mend: string
}

export const link = (code: string, holds: boolean, text: string, mend: string): Link => ({
  code,
  state: holds ? 'ok' : 'broken',
  text,
  mend: holds ? '' : mend,
})

/** How long, roughly, as people say it. */
export function spanText(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`
}
