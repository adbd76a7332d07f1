import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { labelOf } from '#agent/station/labels/label.ts'
import type { LabelForm, LabelWish } from '#agent/station/labels/label-form.ts'
import { encodeLabels, makeLabel } from '#agent/station/labels/made-label.ts'
import { sheets } from '#agent/station/labels/pdf.ts'
import { label, pairing, unit } from '#test/agent/station/labels/labelled-unit.ts'
import { runCommand } from '#test/lab/program.ts'

/** Labels read by programs of others: zbar takes the code from the picture, poppler the page. */

async function written(t: TestContext, name: string, bytes: Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'adit-labels-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

/** Dots an inch of a page's picture: those of a label's layout. */
const resolution = 300
const dots = (mm: number): string => String(Math.round((mm / 25.4) * resolution))

/** Every code in a picture. */
async function codesIn(picture: string): Promise<string[]> {
  // Without a bus zbar complains of it, and reads all the same.
  const { status, stdout, stderr } = await runCommand('zbarimg', ['--quiet', '--raw', picture])
  assert.equal(status, 0, stderr)
  return stdout.split('\n').filter(Boolean)
}

async function made(form: LabelForm, wish: LabelWish, labels = [label]): Promise<Uint8Array> {
  return encodeLabels(await Promise.all(labels.map((one) => makeLabel(one, form, wish))), form, wish)
}

for (const wish of [
  {},
  { dpi: '203' },
  { labelSize: '100x50', dpi: '600' },
  { sheet: 'letter-3x10' },
] as const satisfies LabelWish[])
  test(`zbar reads the code of a PNG: ${JSON.stringify(wish)}`, async (t) => {
    assert.deepEqual(await codesIn(await written(t, 'label.png', await made('png', wish))), [label.url])
  })

for (const [sheet, places] of [
  ['a4-3x8', 24],
  ['a4-3x7', 21],
  ['letter-3x10', 30],
] as const)
  test(`zbar reads each code of a whole sheet ${sheet}, cut marks and all, and poppler its text`, async (t) => {
    const labels = Array.from({ length: places }, (_, n) => {
      const spkiSha256 = Buffer.alloc(32, n).toString('hex')
      return labelOf({ ...unit, serial: `serial:${n}`, name: `pi-${n}`, spkiSha256 }, pairing)
    })
    const pdf = await written(t, 'sheet.pdf', await made('pdf', { sheet, cutMarks: true }, labels))
    const { left, top, pitch, columns, label: size } = sheets[sheet]
    for (const [place, { url }] of labels.entries()) {
      // As a person cuts it out: zbar itself misses one of some thirty codes in one picture.
      const [x, y] = [left + (place % columns) * pitch.across, top + Math.floor(place / columns) * pitch.down]
      const cut = ['-x', dots(x), '-y', dots(y), '-W', dots(size.width), '-H', dots(size.height)]
      const picture = pdf.replace(/\.pdf$/, `-${place}`)
      assert.equal((await runCommand('pdftoppm', ['-r', `${resolution}`, ...cut, '-png', '-singlefile', pdf, picture])).status, 0)
      assert.deepEqual(await codesIn(`${picture}.png`), [url])
    }
    const { stdout } = await runCommand('pdftotext', ['-raw', pdf, '-'])
    for (const { name, serial } of labels) assert.ok(stdout.includes(`${name}\nSN ${serial}\n`), `${name} is not in the text`)
  })

test('a PDF of one label is a page of the label’s size', async (t) => {
  const pdf = await written(t, 'label.pdf', await made('pdf', { labelSize: '62x29' }))
  const { stdout } = await runCommand('pdfinfo', [pdf])
  assert.match(stdout, /Pages: +1\n/)
  assert.match(stdout, /Page size: +175\.7\d* x 82\.2\d* pts/)
})
