import assert from 'node:assert/strict'
import test from 'node:test'
import { inflateSync } from 'node:zlib'
import { glyphOf } from '#agent/station/labels/bitmap-font.ts'
import { drawLabel } from '#agent/station/labels/label-bitmap.ts'
import { makeLabel } from '#agent/station/labels/made-label.ts'
import { encodePng } from '#agent/station/labels/png.ts'
import { label } from './labelled-unit.ts'

/** The chunks of a PNG, by type; their order is checked. */
function chunksOf(png: Uint8Array): Map<string, Buffer> {
  const bytes = Buffer.from(png)
  assert.equal(bytes.subarray(0, 8).toString('hex'), '89504e470d0a1a0a')
  const chunks = new Map<string, Buffer>()
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    chunks.set(bytes.subarray(at + 4, at + 8).toString('latin1'), bytes.subarray(at + 8, at + 8 + length))
    at += 12 + length
  }
  assert.deepEqual([...chunks.keys()], ['IHDR', 'pHYs', 'IDAT', 'IEND'])
  return chunks
}

test('each module of the code is a square of dots in the picture, and the quiet zone is white', async () => {
  const { layout, code } = await makeLabel(label, 'png', {})
  const bitmap = drawLabel(layout, code)
  const { x, y, module } = layout.qr
  for (let row = -4; row < code.size + 4; row++)
    for (let column = -4; column < code.size + 4; column++) {
      const inside = row >= 0 && column >= 0 && row < code.size && column < code.size
      const dark = inside && code.isDark(column, row)
      for (const [dx, dy] of [
        [0, 0],
        [module - 1, module - 1],
      ] as const)
        assert.equal(bitmap.isBlack(x + column * module + dx, y + row * module + dy), dark, `${column} ${row}`)
    }
})

test('a PNG holds the dots row by row, its resolution, and sums that are right', async () => {
  const { layout, code, dpi } = await makeLabel(label, 'png', { dpi: '203' })
  const bitmap = drawLabel(layout, code)
  const chunks = chunksOf(encodePng(bitmap, dpi))
  const header = chunks.get('IHDR')!
  assert.deepEqual([header.readUInt32BE(0), header.readUInt32BE(4), ...header.subarray(8)], [408, 200, 1, 0, 0, 0, 0])
  assert.equal(chunks.get('pHYs')!.readUInt32BE(0), 7_992)
  const rows = inflateSync(chunks.get('IDAT')!)
  assert.equal(rows.length, (51 + 1) * 200)
  for (const [px, py] of [
    [layout.qr.x, layout.qr.y],
    [0, 0],
    [407, 199],
  ] as const)
    assert.equal((rows[py * 52 + 1 + (px >> 3)]! & (0x80 >> (px & 7))) === 0, bitmap.isBlack(px, py))
})

test('every letter of names, serials and fingerprints has a glyph of its own, and what has none shows as a box', () => {
  const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/ ']
  const shapes = new Set(letters.map((letter) => Buffer.from(glyphOf(letter)).toString('hex')))
  assert.equal(shapes.size, letters.length)
  const box = Buffer.from(glyphOf('ß'))
  assert.ok(!shapes.has(box.toString('hex')))
  for (const letter of letters) assert.ok(glyphOf(letter).length === 7 && glyphOf(letter).every((row) => row < 32), letter)
})
