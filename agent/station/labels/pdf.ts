import type PDFKit from 'pdfkit'
import { AditError } from '#shared/errors.ts'
import { CELL, type LabelLayout, type LabelSize } from './label-layout.ts'
import type { QrCode } from './qr-code.ts'

/** A sheet of labels as they are sold: columns and rows of one size, mm. */
export interface Sheet {
  readonly page: { readonly width: number; readonly height: number }
  readonly columns: number
  readonly rows: number
  readonly label: LabelSize
  /** From the page's edge to the first label. */
  readonly left: number
  readonly top: number
  /** From one label to the next. */
  readonly pitch: { readonly across: number; readonly down: number }
}

/** By name; `single` is a page of the label's own size. */
export const sheets = {
  'a4-3x8': {
    page: { width: 210, height: 297 },
    columns: 3,
    rows: 8,
    label: { width: 70, height: 36 },
    left: 0,
    top: 4.5,
    pitch: { across: 70, down: 36 },
  },
  'a4-3x7': {
    page: { width: 210, height: 297 },
    columns: 3,
    rows: 7,
    label: { width: 63.5, height: 38.1 },
    left: 7.2,
    top: 15.1,
    pitch: { across: 66, down: 38.1 },
  },
  'letter-3x10': {
    page: { width: 215.9, height: 279.4 },
    columns: 3,
    rows: 10,
    label: { width: 66.7, height: 25.4 },
    left: 4.8,
    top: 12.7,
    pitch: { across: 69.85, down: 25.4 },
  },
} as const satisfies Record<string, Sheet>

export type SheetName = keyof typeof sheets

/** One label made ready: `dpi` says what a dot of its layout is. */
export interface PlacedLabel {
  readonly layout: LabelLayout
  readonly code: QrCode
  readonly dpi: number
}

/** Points in a millimetre. */
const POINTS = 72 / 25.4
/** Of Courier, in parts of its size: the advance of a letter. */
const advance = 0.6

/** Sheets of labels, as many as it takes; code and cut marks are vectors, the text is text. */
export async function encodePdf(labels: readonly PlacedLabel[], sheet: Sheet, cutMarks = false): Promise<Uint8Array> {
  const PDFDocument = await loadPdfkit()
  const size: [number, number] = [sheet.page.width * POINTS, sheet.page.height * POINTS]
  const document = new PDFDocument({
    size,
    margin: 0,
    autoFirstPage: false,
    info: { Title: 'Labels', Producer: 'adit', Creator: 'adit' },
  })
  const chunks: Buffer[] = []
  const whole = new Promise<void>((resolve, reject) => {
    document.on('data', (chunk: Buffer) => chunks.push(chunk))
    document.once('end', resolve)
    document.once('error', reject)
  })
  const perPage = sheet.columns * sheet.rows
  labels.forEach((label, at) => {
    if (at % perPage === 0) document.addPage()
    const place = at % perPage
    const x = sheet.left + (place % sheet.columns) * sheet.pitch.across
    const y = sheet.top + Math.floor(place / sheet.columns) * sheet.pitch.down
    drawLabel(document, label, x * POINTS, y * POINTS)
    if (cutMarks) drawCutMarks(document, x * POINTS, y * POINTS, sheet.label)
  })
  if (labels.length === 0) document.addPage()
  document.end()
  await whole
  return new Uint8Array(Buffer.concat(chunks))
}

async function loadPdfkit(): Promise<typeof PDFKit> {
  try {
    return (await import('pdfkit')).default
  } catch (cause) {
    const mend = 'Install it beside adit: npm install pdfkit; or print PNG or ZPL.'
    throw new AditError('label-refused', 'Labels as PDF need the package pdfkit, which is not here.', mend, { cause })
  }
}

function drawLabel(document: PDFKit.PDFDocument, { layout, code, dpi }: PlacedLabel, left: number, top: number): void {
  const dot = 72 / dpi
  const { x, y, module } = layout.qr
  const side = module * dot
  // Runs of dark modules in one path: seams between squares show on some printers.
  for (let row = 0; row < code.size; row++)
    for (let column = 0; column < code.size; column++) {
      const from = column
      while (column < code.size && code.isDark(column, row)) column++
      if (column > from) document.rect(left + x * dot + from * side, top + y * dot + row * side, (column - from) * side, side)
    }
  document.fill('black')
  for (const line of layout.lines) {
    document
      .font('Courier')
      .fontSize((CELL.width * line.scale * dot) / advance)
      .text(line.text, left + line.x * dot, top + line.y * dot, { lineBreak: false })
  }
}

/** A cross of 3 mm at each corner. */
function drawCutMarks(document: PDFKit.PDFDocument, x: number, y: number, { width, height }: LabelSize): void {
  const [right, bottom] = [x + width * POINTS, y + height * POINTS]
  const half = 1.5 * POINTS
  document.lineWidth(0.25)
  for (const [cx, cy] of [
    [x, y],
    [right, y],
    [x, bottom],
    [right, bottom],
  ] as const) {
    document.moveTo(cx - half, cy).lineTo(cx + half, cy)
    document.moveTo(cx, cy - half).lineTo(cx, cy + half)
  }
  document.stroke('black')
}
