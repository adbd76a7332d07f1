import assert from 'node:assert/strict'
import test from 'node:test'
import { labelOf } from '#agent/station/labels/label.ts'
import { CELL, type LabelLayout, layOut } from '#agent/station/labels/label-layout.ts'
import { sheets } from '#agent/station/labels/pdf.ts'
import { qrCodeOf } from '#agent/station/labels/qr-code.ts'
import { label, pairing, unit } from './labelled-unit.ts'

const sizes = [
  { width: 51, height: 25 },
  { width: 62, height: 29 },
  { width: 100, height: 50 },
  ...Object.values(sheets).map((sheet) => sheet.label),
]

/** Nothing beyond the edge, the code's quiet zone empty, no line over another. */
function checkLayout(layout: LabelLayout, modules: number): void {
  const { qr, lines, width, height } = layout
  const side = qr.module * modules
  assert.ok(qr.x >= 4 * qr.module && qr.y >= 4 * qr.module && qr.y + side + 4 * qr.module <= height)
  let bottom = 0
  for (const { x, y, scale, text } of lines) {
    assert.ok(x >= qr.x + side + 4 * qr.module, 'text stands in the quiet zone')
    assert.ok(x + text.length * CELL.width * scale <= width && y >= bottom && y + CELL.height * scale <= height, text)
    bottom = y + CELL.height * scale
  }
}

for (const dpi of [203, 300, 600])
  test(`at ${dpi} dots an inch nothing of a label touches anything else, on labels of each size`, async () => {
    const code = await qrCodeOf(label.url)
    for (const size of sizes) {
      const layout = layOut(label, size, dpi, code.size)
      checkLayout(layout, code.size)
      assert.deepEqual(
        layout.lines.slice(0, 4).map(({ text }) => text),
        ['pi-0042', 'SN 10000000a1b2c3d4', '0001 0203 0405 0607', '0809 0a0b 0c0d 0e0f'],
      )
    }
  })

test('the longest name and serial stand on the label whole, though in pieces', async () => {
  const long = labelOf({ ...unit, name: 'n'.repeat(63), serial: 's'.repeat(64) }, pairing)
  const code = await qrCodeOf(long.url)
  const layout = layOut(long, { width: 100, height: 50 }, 203, code.size)
  checkLayout(layout, code.size)
  assert.equal(
    layout.lines
      .map(({ text }) => text)
      .join('')
      .startsWith(`${'n'.repeat(63)}SN ${'s'.repeat(64)}`),
    true,
  )
})

test('a label that nobody could read is refused', async () => {
  const { size } = await qrCodeOf(label.url)
  assert.throws(() => layOut(label, { width: 20, height: 10 }, 300, size), { code: 'usage' })
  assert.throws(() => layOut(label, { width: 15, height: 15 }, 203, size), { code: 'usage' })
})

test('the labels of each sheet lie on its page and not on one another', () => {
  for (const [name, sheet] of Object.entries(sheets)) {
    assert.ok(sheet.left + (sheet.columns - 1) * sheet.pitch.across + sheet.label.width <= sheet.page.width + 0.1, name)
    assert.ok(sheet.top + (sheet.rows - 1) * sheet.pitch.down + sheet.label.height <= sheet.page.height + 0.1, name)
    assert.ok(sheet.pitch.across >= sheet.label.width && sheet.pitch.down >= sheet.label.height, name)
  }
})
