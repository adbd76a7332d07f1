import type { UnitRecord } from '#agent/station/unit-desk.ts'
import type { AditError } from '#shared/errors.ts'
import { printable } from '#shared/terminal/printable.ts'

/** As the way was typed. */
export interface TypedWay {
  readonly into?: string | undefined
  readonly network?: boolean | undefined
  readonly serial?: string | undefined
}

export interface Failure {
  readonly serial: string
  readonly error: AditError
  readonly retry: boolean
}

/** The end of a batch: a line for each board that failed, and what to type for them. */
export function batchText(delivered: number, failed: readonly Failure[], way: TypedWay): string {
  const lines = [`${delivered} delivered, ${failed.length} failed.`]
  for (const { serial, error } of failed) lines.push(`  ${serial}  ${error.code}: ${error.message} ${error.mend}`)
  if (failed.some(({ retry }) => retry)) lines.push(`Again: adit station batch --retry ${wayText(way)}`)
  return lines.map((line) => `${printable(line)}\n`).join('')
}

/**
 * What became of one board. `again`: it was delivered before, and nothing was done now: whoever holds another card in his hand is told
 * that it is empty.
 */
export function deliveredText({ serial, name, way }: UnitRecord, again: boolean, typed: TypedWay): string {
  if (!again) return `${serial} is ${name}.\n`
  const said = `${serial} is ${name}, delivered before.`
  if (typed.into === undefined || way !== 'image') return `${said}\n`
  const mend = `adit station replace ${serial} --by ${serial.slice(0, 62)}-b --reason "card lost" ${wayText(typed)}`
  return printable(
    `${said} Nothing was written now: its keys left this station with its card. Where that is lost: ${mend}`,
  ).concat('\n')
}

function wayText({ into, network, serial }: TypedWay): string {
  if (into !== undefined) return `--into ${quoted(into)}`
  if (serial !== undefined) return `--serial ${quoted(serial)}`
  return network ? '--network' : ''
}

/** For a shell; what needs no quotes has none. */
const quoted = (text: string): string => (/^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
