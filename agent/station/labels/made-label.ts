import type { Label } from './label.ts'
import { drawLabel } from './label-bitmap.ts'
import { defaultDpi, type LabelForm, type LabelWish, sizeOf } from './label-form.ts'
import { layOut } from './label-layout.ts'
import { encodePdf, type PlacedLabel, type Sheet, sheets } from './pdf.ts'
import { encodePng } from './png.ts'
import { qrCodeOf } from './qr-code.ts'
import { encodeZpl } from './zpl.ts'

/** One label, laid out for one form. */
export interface MadeLabel extends PlacedLabel {
  readonly label: Label
}

/** Throws AditError `usage` where the label is too small for what stands on it. */
export async function makeLabel(label: Label, form: LabelForm, wish: LabelWish): Promise<MadeLabel> {
  const dpi = wish.dpi === undefined ? defaultDpi[form] : Number(wish.dpi)
  const code = await qrCodeOf(label.url)
  return { label, code, dpi, layout: layOut(label, sizeOf(wish), dpi, code.size) }
}

/** How many labels one file or print of that form holds. */
export function capacityOf(form: LabelForm, wish: LabelWish): number {
  if (form === 'zpl') return 100
  return form === 'pdf' && wish.sheet !== undefined ? sheets[wish.sheet].columns * sheets[wish.sheet].rows : 1
}

/** The bytes of a file; of a picture, the last label's. */
export async function encodeLabels(made: readonly MadeLabel[], form: LabelForm, wish: LabelWish): Promise<Uint8Array> {
  if (form === 'pdf') return encodePdf(made, sheetOf(wish), wish.cutMarks)
  if (form === 'zpl') return Buffer.from(made.map(({ layout, label }) => encodeZpl(layout, label.url)).join(''), 'utf8')
  const { layout, code, dpi } = made.at(-1)!
  return encodePng(drawLabel(layout, code), dpi)
}

function sheetOf(wish: LabelWish): Sheet {
  if (wish.sheet !== undefined) return sheets[wish.sheet]
  const label = sizeOf(wish)
  return { page: label, columns: 1, rows: 1, label, left: 0, top: 0, pitch: { across: label.width, down: label.height } }
}
