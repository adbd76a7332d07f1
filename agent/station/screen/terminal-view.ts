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

/** Text as it comes from elsewhere; only what leaves `render` is safe. */
interface Line {
  readonly text: string
  readonly paint?: keyof typeof paints
}

/** The lines of a screen, `rows` of them at most, none longer than `columns`; what they hold is safe to print (A-77). */
export function drawTerminal(view: LineView, { columns, rows }: TerminalSize, colour: boolean, page?: string): string[] {
  const head = [plain(heading(view)), plain(progressLine(view, columns)), plain(rateLine(view)), plain('')]
  const verdict = verdictLines(view, colour)
  const failures = failureLines(view).map(plain)
  const foot = page === undefined ? [] : ['', `page for a tablet, once: ${page}`].map(plain)
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

const failureLines = ({ failures }: LineView): string[] =>
  failures.length === 0
    ? []
    : [
        'last failures:',
        ...failures.flatMap(({ serial, name, code, detail, mend, secondsAgo }) => [
          `  ${serial}  ${name}  ${code}  ${span(secondsAgo)} ago`,
          `    ${detail} ${mend}`,
        ]),
      ]
