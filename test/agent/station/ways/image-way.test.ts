import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { ImageWay } from '#agent/station/ways/image-way.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bundleFile, decodeBundle } from '#shared/enrolment/unit-bundle.ts'
import { AditError, type ErrorCode } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { eraseDurably } from '#shared/platform/erase-file.ts'
import { DeskInMemory } from '#test/agent/station/desk-in-memory.ts'
import { type CardShape, formatCard, lookAtCard } from '#test/agent/station/ways/fat-card.ts'

const shape: CardShape = { kind: 32, clusters: 400, sectorsPerCluster: 1, rootEntries: 0 }
const named = 'ADIT-ID.BIN'

async function bench(): Promise<{ desk: DeskInMemory; folder: string; card: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'adit-image-way-'))
  test.after(() => rm(folder, { recursive: true, force: true }))
  const desk = new DeskInMemory()
  for (const serial of ['unit-1', 'unit-2']) await desk.open(serial, 'image')
  const card = join(folder, 'card.img')
  await writeFile(card, formatCard(shape, { 'CONFIG.TXT': Buffer.from('arm_64bit=1\n') }))
  return { desk, folder, card }
}

const wayInto = (into: string): ImageWay => new ImageWay(into, { suite, clock: systemClock })
const refused = (code: ErrorCode, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AditError && error.code === code, String(error))
  assert.match(error.message, text)
  assert.ok(error.mend.length > 10)
  return true
}

test('an image file gets the bundle, is read back, and says so; again is the same', async () => {
  const { desk, card } = await bench()
  const evidence = await wayInto(card).deliver(desk, 'unit-1')
  assert.match(evidence, /card\.img holds the bundle of certificate [0-9a-f]{64}$/)
  const look = lookAtCard(await readFile(card), shape)
  assert.deepEqual(decodeBundle(look.files[named]!, suite), await desk.bundle('unit-1'))
  assert.deepEqual(Object.keys(look.files), ['CONFIG.TXT', named])
  assert.deepEqual([...new Set(desk.steps.map(({ step }) => step))], ['writing', 'verifying'])
  assert.ok(desk.steps.some(({ progress }) => progress === 1))
  assert.equal(await wayInto(card).deliver(desk, 'unit-1'), evidence, 'a duplicate scan')
  assert.equal(desk.issued.get('unit-1')?.length, 1, 'one certificate')
})

test('a folder gets the bundle, at a path of its own for each unit; that folder is made where it is not there', async () => {
  const { desk, folder } = await bench()
  await mkdir(join(folder, 'unit-2'))
  for (const serial of ['unit-1', 'unit-2']) {
    await wayInto(join(folder, '{serial}')).deliver(desk, serial)
    assert.deepEqual(await readdir(join(folder, serial)), [bundleFile])
    assert.equal(decodeBundle(await readFile(join(folder, serial, bundleFile)), suite).serial, serial)
  }
  assert.equal((await stat(join(folder, 'unit-1'))).mode & 0o777, 0o700)
})

test('no folder is made for an image of a unit, nor below one that is not there', async () => {
  const { desk, folder } = await bench()
  const absent = wayInto(join(folder, '{serial}.img')).deliver(desk, 'unit-1')
  await assert.rejects(absent, refused('card-refused', /unit-1\.img does not exist/))
  const below = wayInto(join(folder, 'typo', '{serial}')).deliver(desk, 'unit-1')
  await assert.rejects(below, refused('storage-failed', /there is no folder .*typo/))
  assert.deepEqual((await readdir(folder)).sort(), ['card.img'])
})

test('the card of another unit is refused, as that unit counts as delivered; a torn bundle is not in the way', async () => {
  const { desk, folder, card } = await bench()
  const mounted = join(folder, 'mounted')
  await mkdir(mounted)
  for (const path of [card, mounted]) {
    await wayInto(path).deliver(desk, 'unit-1')
    await assert.rejects(wayInto(path).deliver(desk, 'unit-2'), refused('card-refused', /identity of unit unit-1/))
  }
  const torn = await readFile(join(mounted, bundleFile))
  await writeFile(join(mounted, bundleFile), torn.fill(0, 2000))
  await writeFile(join(mounted, `.${bundleFile}.77.x1.tmp`), torn)
  await wayInto(mounted).deliver(desk, 'unit-2')
  assert.deepEqual(await readdir(mounted), [bundleFile], 'what a power cut left is gone')
  assert.equal(decodeBundle(await readFile(join(mounted, bundleFile)), suite).serial, 'unit-2')
})

test('what is no card is refused with a mend', async () => {
  const { desk, folder } = await bench()
  const empty = join(folder, 'empty.img')
  await writeFile(empty, Buffer.alloc(10_000))
  await assert.rejects(wayInto(empty).deliver(desk, 'unit-1'), refused('card-refused', /no FAT partition/))
  await assert.rejects(wayInto(join(folder, 'absent')).deliver(desk, 'unit-1'), refused('card-refused', /does not exist/))
  await assert.rejects(wayInto('/dev/null').deliver(desk, 'unit-1'), refused('card-refused', /is no disk/))
  await symlink('/', join(folder, 'link'))
  for (const own of ['/', join(folder, 'link')])
    await assert.rejects(wayInto(own).deliver(desk, 'unit-1'), refused('card-refused', /this machine's own/))
})

test('a file is overwritten before its name goes; through a link nothing is', async () => {
  const { folder } = await bench()
  const [file, link] = [join(folder, 'secret'), join(folder, 'a-link')]
  await writeFile(file, Buffer.alloc(200_000, 7))
  await symlink(file, link)
  await assert.rejects(eraseDurably(link), AditError)
  assert.equal((await readFile(file))[0], 7)
  await eraseDurably(file)
  await eraseDurably(file)
  await assert.rejects(readFile(file), { code: 'ENOENT' })
})
