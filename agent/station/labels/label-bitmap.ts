import { Bitmap } from './bitmap.ts'
import { glyphOf } from './bitmap-font.ts'
import { CELL, type LabelLayout } from './label-layout.ts'
import type { QrCode } from './qr-code.ts'

/** The label as a printer's dots. */
export function drawLabel(layout: LabelLayout, code: QrCode): Bitmap {
  const bitmap = new Bitmap(layout.width, layout.height)
  const { x, y, module } = layout.qr
  for (let row = 0; row < code.size; row++)
    for (let column = 0; column < code.size; column++)
      if (code.isDark(column, row)) bitmap.square(x + column * module, y + row * module, module)
  for (const line of layout.lines) for (const [at, character] of [...line.text].entries()) drawGlyph(bitmap, character, line, at)
  return bitmap
}

function drawGlyph(bitmap: Bitmap, character: string, { x, y, scale }: LabelLayout['lines'][number], at: number): void {
  glyphOf(character).forEach((bits, row) => {
    for (let column = 0; column < 5; column++)
      if (bits & (0x10 >> column)) bitmap.square(x + (at * CELL.width + column) * scale, y + row * scale, scale)
  })
}
