import type { LineCount, LineEvent } from '#agent/station/line-event.ts'
import { printable } from '#shared/terminal/printable.ts'

/**
 * One line of JSON for a MES. Fields that are here stay: `event` is `unit`, `at` is ISO 8601, `progress`, `code`, `detail` and `mend` are
 * null where they say nothing.
 */
export const eventJson = ({ at, step, serial, name, way, progress, code, detail, mend }: LineEvent): string =>
  JSON.stringify({
    event: 'unit',
    at: new Date(at).toISOString(),
    step,
    serial,
    name,
    way,
    progress: progress ?? null,
    code: code ?? null,
    detail: detail ?? null,
    mend: mend ?? null,
  })

/** The same for counts: `event` is `count`. */
export const countJson = ({ planned, until, ...count }: LineCount, at: number): string =>
  JSON.stringify({
    event: 'count',
    at: new Date(at).toISOString(),
    ...count,
    planned: planned ?? null,
    until: new Date(until).toISOString(),
  })

/** One line for a log or a terminal that cannot be redrawn; undefined for an event that is only progress. */
export function eventLine({ at, step, serial, name, progress, code, detail, mend }: LineEvent): string | undefined {
  if (progress !== undefined && progress > 0 && step !== 'failed') return undefined
  const time = new Date(at).toISOString().slice(11, 19)
  const why = [detail, mend, code && `(${code})`].filter(Boolean).join(' ')
  return printable(`${time} ${step.padEnd(9)} ${serial} ${name}${why && `: ${why}`}`)
}
