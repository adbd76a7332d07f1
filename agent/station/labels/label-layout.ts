import { AditError } from '#shared/errors.ts'
import type { Label } from './label.ts'
import { QUIET_ZONE } from './qr-code.ts'

/** Where everything of a label stands, in dots of the printer, so that no module of the code is ever blurred between two dots. */
export interface LabelLayout {
  /** Dots. */
  readonly width: number
  readonly height: number
  /** Of the symbol without its quiet zone; `module`: dots on a side of one module. */
  readonly qr: { readonly x: number; readonly y: number; readonly module: number }
  /** One line each; `scale`: dots of a dot of the font, whose cell is 6 by 9. */
  readonly lines: readonly { readonly x: number; readonly y: number; readonly scale: number; readonly text: string }[]
}

/** Size of a label in mm. */
export interface LabelSize {
  readonly width: number
  readonly height: number
}

/** Of the text's cells, in dots of the font: 5 by 7 with room between. */
export const CELL = { width: 6, height: 9 } as const

/** A code of narrower modules is read by few phones, mm. */
const leastModule = 0.24
/** Left empty at the edges, mm: printers and cutters are not exact. */
const margin = 1.5
/** Of the width, what the code may take at most. */
const codeShare = 0.6

/** `modules`: on a side of the code. Throws AditError `usage` where the label is too small to be read. */
export function layOut(label: Label, { width, height }: LabelSize, dpi: number, modules: number): LabelLayout {
  const dots = (mm: number): number => Math.round((mm / 25.4) * dpi)
  const [across, down, edge] = [dots(width), dots(height), dots(margin)]
  const module = Math.floor(Math.min(down, across * codeShare) / (modules + 2 * QUIET_ZONE))
  if ((module / dpi) * 25.4 < leastModule) throw tooSmall(width, height)
  const side = module * modules
  const quiet = module * QUIET_ZONE
  const qr = { x: Math.max(edge, quiet), y: Math.round((down - side) / 2), module }
  const left = qr.x + side + quiet
  const lines = setText(textsOf(label), left, edge, across - edge - left, down - 2 * edge)
  if (lines === undefined) throw tooSmall(width, height)
  return { width: across, height: down, qr, lines }
}

/** The name first, which stands out. */
function textsOf({ name, serial, shortFingerprint, url }: Label): string[] {
  const half = shortFingerprint.indexOf(' ', shortFingerprint.length / 2 - 1)
  return [name, `SN ${serial}`, shortFingerprint.slice(0, half), shortFingerprint.slice(half + 1), new URL(url).host]
}

/** The largest letters with which serial and fingerprint stay whole, name and host in two pieces at most; of the smallest, any. */
function setText(
  texts: readonly string[],
  x: number,
  y: number,
  width: number,
  height: number,
): LabelLayout['lines'] | undefined {
  const columns = (scale: number): number => Math.floor(width / (CELL.width * scale))
  for (let scale = Math.floor(height / CELL.height); scale >= 1; scale--) {
    const lines: { x: number; y: number; scale: number; text: string }[] = []
    let at = y
    let isWhole = true
    for (const [index, text] of texts.entries()) {
      const own = index === 0 && text.length <= columns(2 * scale) ? 2 * scale : scale
      const parts = wrap(text, columns(own))
      isWhole &&= parts.length <= (index === 0 || index === texts.length - 1 ? 2 : 1)
      for (const part of parts) {
        lines.push({ x, y: at, scale: own, text: part })
        at += CELL.height * own
      }
    }
    if ((isWhole || scale === 1) && at - y <= height) return lines
  }
  return undefined
}

function wrap(text: string, columns: number): string[] {
  return text.match(new RegExp(`.{1,${Math.max(1, columns)}}`, 'gu')) ?? []
}

const tooSmall = (width: number, height: number): AditError =>
  new AditError(
    'usage',
    `A label of ${width} by ${height} mm is too small for this unit.`,
    'Choose a larger one with --label-size, as in 51x25, or a printer of more dots an inch with --dpi.',
  )
