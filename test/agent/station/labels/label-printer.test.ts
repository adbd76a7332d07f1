import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type LabelPorts, openLabels } from '#agent/station/labels/label-printer.ts'
import { type LabelDesk, printLabels } from '#agent/station/labels/label-verb.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import { label, pairing, unit } from './labelled-unit.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'adit-labels-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

/** A ledger of `units` that counts labels; `log` is what happened, in order. */
function ledger(units: readonly UnitRecord[] = [unit]): LabelPorts & { log: string[] } {
  const log: string[] = []
  const copies = new Map<string, number>()
  return {
    log,
    pairing,
    desk: {
      record: async (serial) => units.find((one) => one.serial === serial),
      step: (serial, step) => void log.push(`${step} ${serial}`),
    },
    book: {
      async labelled(serial, { certificateSerial, spkiSha256 }) {
        assert.deepEqual(
          [certificateSerial, spkiSha256],
          [unit.certificateSerial, units.find((one) => one.serial === serial)?.spkiSha256],
        )
        copies.set(serial, (copies.get(serial) ?? 0) + 1)
        log.push(`booked ${serial}`)
        return copies.get(serial)!
      },
    },
  }
}

const unitOf = (n: number): UnitRecord => ({ ...unit, serial: `serial:${n}`, name: `pi-${n}` })

test('a reprint is counted, and each goes to a file of its own', async (t) => {
  const path = await folder(t)
  const ports = ledger()
  const printer = openLabels({ label: join(path, 'label.png') }, ports)!
  assert.deepEqual([(await printer.print(unit.serial)).copy, (await printer.print(unit.serial)).copy], [1, 2])
  assert.deepEqual((await readdir(path)).sort(), ['label-2.png', 'label.png'])
  assert.deepEqual(ports.log, [
    'booked 10000000a1b2c3d4',
    'labelled 10000000a1b2c3d4',
    'booked 10000000a1b2c3d4',
    'labelled 10000000a1b2c3d4',
  ])
})

test('sheets fill one after another, and one of an earlier run is not written over', async (t) => {
  const path = await folder(t)
  await writeFile(join(path, 'sheet.pdf'), 'of another run')
  const units = Array.from({ length: 25 }, (_, n) => unitOf(n))
  const printer = openLabels({ label: join(path, 'sheet.pdf'), sheet: 'a4-3x8' }, ledger(units))!
  const files = []
  for (const { serial } of units) files.push((await printer.print(serial)).file)
  assert.equal(await readFile(join(path, 'sheet.pdf'), 'utf8'), 'of another run')
  assert.deepEqual([...new Set(files)], [join(path, 'sheet-2.pdf'), join(path, 'sheet-3.pdf')])
  assert.equal(files.lastIndexOf(join(path, 'sheet-2.pdf')), 23)
  for (const file of new Set(files)) assert.match(await readFile(file!, 'latin1'), /^%PDF-1\.3[\s\S]*%%EOF\s*$/)
})

test('labels that are asked for at once come out whole and in order', async (t) => {
  const path = await folder(t)
  const units = Array.from({ length: 12 }, (_, n) => unitOf(n))
  const printer = openLabels({ label: join(path, 'all.zpl') }, ledger(units))!
  await Promise.all(units.map(({ serial }) => printer.print(serial)))
  const zpl = await readFile(join(path, 'all.zpl'), 'utf8')
  assert.deepEqual(
    [...zpl.matchAll(/\^FD(pi-\d+)\^FS/g)].map(([, name]) => name),
    units.map(({ name }) => name),
  )
})

test('a path that names the unit has one file a unit, of a name that a FAT stick takes', async (t) => {
  const path = await folder(t)
  const printer = openLabels({ label: join(path, '{serial}_{name}.png') }, ledger([unitOf(1)]))!
  await printer.print('serial:1')
  await printer.print('serial:1')
  assert.deepEqual(await readdir(path), ['serial-1_pi-1.png'])
})

test('a unit that the ledger does not know, or that failed, is not counted and leaves nothing', async (t) => {
  const path = await folder(t)
  const ports = ledger([{ ...unit, step: 'failed' }])
  const printer = openLabels({ label: join(path, 'label.pdf') }, ports)!
  await assert.rejects(printer.print('another'), { code: 'unit-unknown' })
  await assert.rejects(printer.print(unit.serial), { code: 'label-refused' })
  assert.deepEqual([await readdir(path), ports.log], [[], []])
})

test('a label printer on the network is given the ZPL, whole, one connection a label', async (t) => {
  const jobs: string[] = []
  const printer = createServer(async (socket) => {
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    jobs.push(Buffer.concat(chunks).toString('utf8'))
    socket.end()
  }).listen(0, '127.0.0.1')
  await once(printer, 'listening')
  t.after(() => printer.close())
  const { port } = printer.address() as { port: number }
  const labels = openLabels({ printer: `127.0.0.1:${port}` }, ledger())!
  await labels.print(unit.serial)
  await labels.print(unit.serial)
  assert.equal(jobs.length, 2)
  assert.match(jobs[0]!, /^\^XA\n[\s\S]*\^XZ\n$/)
  assert.ok(jobs[0]!.includes(`^FDMA,${label.url}^FS`))
})

test('a printer that is not there is named, and the unit is not told as labelled', async () => {
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as { port: number }
  gone.close()
  await once(gone, 'close')
  const ports = ledger()
  await assert.rejects(openLabels({ printer: `127.0.0.1:${port}` }, ports)!.print(unit.serial), {
    code: 'printer-failed',
    message: new RegExp(`127\\.0\\.0\\.1:${port}`),
  })
  assert.deepEqual(ports.log, ['booked 10000000a1b2c3d4'])
})

test('a print command has the label on its standard input; one that fails says why', async (t) => {
  const path = await folder(t)
  const out = join(path, 'job')
  await openLabels({ printCommand: `tee ${out}`, printForm: 'zpl' }, ledger())!.print(unit.serial)
  assert.match(await readFile(out, 'utf8'), /^\^XA[\s\S]*\^XZ\n$/)
  await assert.rejects(openLabels({ printCommand: 'ls /nothing-of-that-name' }, ledger())!.print(unit.serial), {
    code: 'printer-failed',
    message: /ls ended with status 2: .*nothing-of-that-name/,
  })
  await assert.rejects(openLabels({ printCommand: 'no-such-program-here' }, ledger())!.print(unit.serial), {
    code: 'printer-failed',
    message: /cannot be started/,
  })
})

test('a wish that cannot be is refused before anything is done', () => {
  assert.equal(openLabels({}, ledger()), undefined)
  for (const wish of [
    { label: 'label.jpg' },
    { printer: 'a b' },
    { label: 'a.png', labelSize: '5x5' },
    { label: 'a.png', labelSize: 'big' },
    { printCommand: ' ' },
  ])
    assert.throws(() => openLabels(wish, ledger()), { code: 'usage' })
})

/** What the verb wrote. */
async function verb(units: string[], json: boolean, wish: object): Promise<string> {
  let written = ''
  let closed = 0
  const desk: LabelDesk = {
    ...ledger(),
    json,
    write: async (text) => {
      written += text
    },
    close: async () => {
      closed++
    },
  }
  await printLabels(units, wish, async () => desk)
  assert.equal(closed, 1)
  return written
}

test('adit station label: a serial or a scanned label, a line for a person, JSON for a script', async (t) => {
  const path = await folder(t)
  const file = join(path, '{serial}.zpl')
  assert.equal(
    await verb([label.url], false, { label: file }),
    `Label 1 of 10000000a1b2c3d4 (pi-0042) in ${path}/10000000a1b2c3d4.zpl.\n`,
  )
  const { event, serial, copy, fingerprint } = JSON.parse(await verb([unit.serial], true, { label: file }))
  assert.deepEqual([event, serial, copy, fingerprint], ['label', unit.serial, 1, unit.spkiSha256])
  await assert.rejects(verb([unit.serial], false, {}), { code: 'usage' })
})
