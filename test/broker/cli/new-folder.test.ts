import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { NewFolder } from '#broker/cli/io/new-folder.ts'
import { dyingDisk } from '#test/shared/platform/dying-disk.ts'

const root = mkdtempSync(join(tmpdir(), 'adit-folder-'))
after(() => rmSync(root, { recursive: true }))
let count = 0
const place = (): string => join(root, `f${++count}`)

const content: Record<string, string> = { 'private/adit.key': 'key', 'x509/adit.crt': 'certificate', 'swanctl.conf': 'conf' }

async function build(path: string, port?: Parameters<typeof NewFolder.begin>[1]): Promise<void> {
  const folder = await NewFolder.begin(path, port)
  for (const [name, text] of Object.entries(content)) await folder.write(name, text)
  await folder.finish()
}

function assertWhole(path: string): void {
  for (const [name, text] of Object.entries(content)) assert.equal(readFileSync(join(path, name), 'utf8'), text)
  assert.equal(statSync(path).mode & 0o777, 0o700)
  assert.equal(statSync(join(path, 'private')).mode & 0o777, 0o700)
  assert.equal(statSync(join(path, 'private/adit.key')).mode & 0o777, 0o600)
}

test('F-02 a power cut at any write leaves no folder or a whole one, and the next attempt none of its draft', async () => {
  let cuts = 0
  for (let cutAt = 0; ; cutAt++) {
    const path = place()
    const { port, cut } = dyingDisk(cutAt)
    await build(path, port).catch(() => undefined)
    if (existsSync(path)) assertWhole(path)
    else await build(path)
    assertWhole(path)
    if (!cut()) break
    cuts += 1
  }
  assert.ok(cuts > 15, `${cuts} cuts`)
  assert.deepEqual(
    readdirSync(root).filter((name) => name.startsWith('.')),
    [],
  )
})

test('what is there is not touched: a file, a folder with something in it; an empty folder is taken', async () => {
  const full = place()
  mkdirSync(full)
  writeFileSync(join(full, 'notes'), 'mine')
  await assert.rejects(NewFolder.begin(full), { code: 'usage', message: /is there already and not empty/ })
  assert.deepEqual(readdirSync(full), ['notes'])
  const file = place()
  writeFileSync(file, 'mine')
  await assert.rejects(NewFolder.begin(file), { code: 'usage' })
  const link = place()
  symlinkSync(place(), link)
  await assert.rejects(NewFolder.begin(link), { code: 'usage' })
  await assert.rejects(NewFolder.begin(join(file, 'below')), { code: 'storage-failed' })
  const empty = place()
  mkdirSync(empty, { mode: 0o755 })
  await build(empty)
  assertWhole(empty)
})

test('what comes into the place meanwhile stays, and the draft goes when it is discarded', async () => {
  const path = place()
  const folder = await NewFolder.begin(path)
  await folder.write('private/adit.key', 'key')
  mkdirSync(path)
  writeFileSync(join(path, 'notes'), 'mine')
  await assert.rejects(folder.finish(), { code: 'storage-failed' })
  await folder.discard()
  assert.deepEqual(readdirSync(path), ['notes'])
  assert.deepEqual(
    readdirSync(root).filter((name) => name.startsWith('.')),
    [],
  )
})
