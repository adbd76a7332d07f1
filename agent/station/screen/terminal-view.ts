import type { UnitStep } from '#agent/station/line-event.ts'
import { span } from '#shared/terminal/age.ts'
import { printable } from '#shared/terminal/printable.ts'
import type { LineView } from './line-state.ts'

/** How much a terminal shows: characters and lines. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** Steps of a unit in their order, in few letters. */
const steps: readonly UnitStep[] = ['opened', 'issued', 'writing', 'verifying']

/** SGR sequences: black on green, white on red. */
const paints = { green: '\u001b[30;42m', red: '\u001b[37;41m' } as const
const unpainted = '\u001b[0m'

/** Lines that units in hand keep beside failures. */
const unitRoom = 2
/** Lines of a failure's cause and mend at most. */
const mostWords = 4

/** Text as it comes from elsewhere; only what leaves `render` is safe. */
interface Line {
  readonly text: string
  readonly paint?: keyof typeof paints
}

/** The lines of a screen, `rows` of them at most, none longer than `columns`; what they hold is safe to print (A-77). */
export function drawTerminal(view: LineView, { columns, rows }: TerminalSize, colour: boolean, page?: string): string[] {
  const head = [plain(heading(view)), plain(progressLine(view, columns)), plain(rateLine(view)), plain('')]
  const verdict = verdictLines(view, colour)
  const foot = page === undefined ? [] : pageLines(page, columns).map(plain)
  const failures = failureLines(view, columns, rows - head.length - verdict.length - foot.length - unitRoom).map(plain)
  const room = rows - head.length - verdict.length - failures.length - foot.length
  const lines = [...head, ...verdict, ...unitLines(view, Math.max(0, room)).map(plain), ...failures, ...foot]
  return lines.slice(0, rows).map((line) => render(line, columns))
}

const plain = (text: string): Line => ({ text })

/** Every character that could be obeyed is made visible first; our own paint comes after. */
function render({ text, paint }: Line, columns: number): string {
  const characters = [...printable(text)]
  const fitted = characters.length <= columns ? characters.join('') : `${characters.slice(0, columns - 1).join('')}…`
  return paint === undefined ? fitted : `${paints[paint]}${fitted.padEnd(columns)}${unpainted}`
}

const heading = ({ station, unsynced, quotaLeft, until }: LineView): string =>
  `${station}   quota left ${quotaLeft}, until ${until.slice(0, 10)}   ${unsynced === 0 ? 'all synced' : `${unsynced} to sync`}`

function progressLine({ planned, delivered, failed, scrapped }: LineView, columns: number): string {
  const counts = `${delivered}${planned === null ? '' : ` of ${planned}`} delivered, ${failed} failed, ${scrapped} scrapped`
  if (planned === null || planned === 0) return counts
  const width = Math.max(10, Math.min(30, columns - counts.length - 4))
  const full = Math.min(width, Math.floor((delivered / planned) * width))
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}] ${counts}`
}

const rateLine = ({ perHour, secondsToFinish }: LineView): string =>
  [
    perHour === null ? 'no rate yet' : `${perHour} units an hour`,
    ...(secondsToFinish === null ? [] : [secondsToFinish === 0 ? 'batch done' : `done in ${span(secondsToFinish)}`]),
  ].join(', ')

function verdictLines({ verdict }: LineView, colour: boolean): Line[] {
  if (verdict === null) return []
  const text = `${verdict.pass ? 'PASS' : 'FAIL'}  ${verdict.serial}  ${verdict.name}`
  if (colour) return [{ text: ` ${text}`, paint: verdict.pass ? 'green' : 'red' }, plain('')]
  return [plain(verdict.pass ? `*** ${text} ***` : `!!! ${text} !!!`), plain('')]
}

function unitLines({ inHand }: LineView, room: number): string[] {
  if (room < 2) return []
  if (inHand.length === 0) return ['waiting for a unit', '']
  const shown = inHand.slice(0, Math.max(1, room - 2))
  const lines = shown.map(({ serial, name, way, step, progress, seconds }) => {
    const road = steps.map((one) => (one === step ? `>${one}${percent(progress)}<` : one)).join(' ')
    return `${serial}  ${name}  ${way}  ${road}  ${span(seconds)}`
  })
  const more = inHand.length - shown.length
  return [...lines, ...(more > 0 ? [`and ${more} more`] : []), '']
}

const percent = (progress: number | null): string => (progress === null ? '' : ` ${Math.round(progress * 100)} %`)

/** Of the newest as many as `room` holds, each with its mend to the end: what is cut off cannot be done. */
function failureLines({ failures }: LineView, columns: number, room: number): string[] {
  const lines: string[] = []
  for (const { serial, name, code, detail, mend, secondsAgo } of failures) {
    const words = wrapped(`${detail} ${mend}`, columns - 4).slice(0, mostWords)
    const one = [`  ${serial}  ${name}  ${code}  ${span(secondsAgo)} ago`, ...words.map((text) => `    ${text}`)]
    if (lines.length > 0 && 1 + lines.length + one.length > room) break
    lines.push(...one)
  }
  return lines.length === 0 ? [] : ['last failures:', ...lines]
}

/** An address of which the end is missing opens nothing: it has lines of its own where it does not fit beside its words. */
function pageLines(page: string, columns: number): string[] {
  const said = `page for a tablet, once: ${page}`
  return said.length <= columns ? ['', said] : ['', 'page for a tablet, once:', ...wrapped(page, columns)]
}

/** Lines of `columns` characters at most, broken between words, or within one that is longer; safe to print. */
function wrapped(text: string, columns: number): string[] {
  const width = Math.max(1, columns)
  const lines: string[] = []
  let line = ''
  for (const word of printable(text).split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (longer.length <= width) {
      line = longer
      continue
    }
    if (line !== '') lines.push(line)
    const pieces = word.match(new RegExp(`.{1,${width}}`, 'gu')) ?? ['']
    lines.push(...pieces.slice(0, -1))
    line = pieces.at(-1)!
  }
  return line === '' ? lines : [...lines, line]
}
