/** Our FAT writer judged by dosfstools and mtools, on images and block devices as Debian's tools make them. Needs root. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { FatVolume } from '#agent/station/ways/fat/volume.ts'
import { ImageWay } from '#agent/station/ways/image-way.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bundleFile, decodeBundle, encodeBundle } from '#shared/enrolment/unit-bundle.ts'
import { AditError, type ErrorCode } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { wallTime } from '#shared/time/instant.ts'
import { DeskInMemory } from '#test/agent/station/desk-in-memory.ts'
import { CuttableCard, PowerCut } from '#test/agent/station/ways/fat-card.ts'

const serial = '10000000a1b2c3d4'
const desk = new DeskInMemory()
await desk.open(serial, 'image')
const bundle = await desk.bundle(serial)
const bytes = Buffer.from(encodeBundle(bundle, suite))

const tool = (name: string, ...words: string[]): string =>
  execFileSync(name, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const provision = (path: string): Promise<string> => new ImageWay(path, { suite, clock: systemClock }).deliver(desk, serial)

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'adit-fat-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** What a firmware's partition has: files in the root and in folders, with long names. */
async function fill(folder: string, image: string, offset = 0): Promise<Record<string, Buffer>> {
  const files: Record<string, Buffer> = {
    'config.txt': Buffer.from('arm_64bit=1\n'),
    'bcm2712-rpi-5-b.dtb': Buffer.alloc(76_000, 'device tree '),
    'overlays/vc4-kms-v3d-pi5-with-a-long-name.dtbo': Buffer.alloc(4_000, 'overlay '),
  }
  tool('mmd', '-i', `${image}@@${offset}`, '::overlays')
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, 'one'), content)
    tool('mcopy', '-i', `${image}@@${offset}`, join(folder, 'one'), `::${name}`)
  }
  return files
}

/** fsck.fat finds nothing, mtools reads every file as it was, and ours. */
async function judge(folder: string, image: string, files: Record<string, Buffer>, offset = 0): Promise<void> {
  const alone = join(folder, 'judged')
  await writeFile(alone, (await readFile(image)).subarray(offset))
  const checked = spawnSync('fsck.fat', ['-n', '-v', alone], { encoding: 'utf8' })
  assert.equal(checked.status, 0, checked.stdout)
  assert.doesNotMatch(checked.stdout, /wrong|differ|reclaim|orphan|dirty/i)
  for (const [name, content] of Object.entries({ ...files, [bundleFile]: bytes })) {
    const read = execFileSync('mtype', ['-i', `${image}@@${offset}`, `::${name}`], { maxBuffer: 1 << 24 })
    assert.ok(read.equals(content), name)
  }
  assert.match(tool('mdir', '-b', '-i', `${image}@@${offset}`), /^::\/adit-id\.bin$/m)
}

const shapes: [title: string, size: string, ...words: string[]][] = [
  ['FAT12, a floppy', '1440K', '-F', '12'],
  ['FAT16', '16M', '-F', '16'],
  ['FAT16 of large clusters', '64M', '-F', '16', '-s', '16'],
  ['FAT32', '64M', '-F', '32'],
  ['FAT32 of 512 MB, as Raspberry Pi OS has it', '512M', '-F', '32', '-s', '4'],
  ['FAT32 on sectors of 4 KB', '300M', '-F', '32', '-S', '4096'],
  ['FAT32 with one table', '64M', '-F', '32', '-f', '1'],
]

for (const [title, size, ...words] of shapes)
  test(`${title}: dosfstools and mtools find the file and nothing else changed`, async (t) => {
    const folder = await newFolder(t)
    const image = join(folder, 'card.img')
    tool('truncate', '-s', size, image)
    tool('mkfs.vfat', ...words, image)
    const files = await fill(folder, image)
    await provision(image)
    await judge(folder, image, files)
    await provision(image)
    await judge(folder, image, files)
    // As mtools writes such a file: under a long name too.
    await writeFile(join(folder, 'one'), 'something else')
    tool('mcopy', '-o', '-i', image, join(folder, 'one'), `::${bundleFile}`)
    await provision(image)
    await judge(folder, image, files)
  })

test('the FAT partition is found behind an MBR and behind a GUID partition table', async (t) => {
  const folder = await newFolder(t)
  const boot = join(folder, 'boot.img')
  tool('truncate', '-s', '64M', boot)
  tool('mkfs.vfat', '-F', '32', boot)
  for (const script of [
    'label: dos\nstart=8192, size=131072, type=c\nstart=139264, type=83\n',
    'label: gpt\nstart=139264, size=40000, type=L\nstart=8192, size=131072, type=U\n',
  ]) {
    const image = join(folder, 'card.img')
    await writeFile(image, '')
    await truncate(image, 160 * 1024 * 1024)
    execFileSync('sfdisk', ['--quiet', image], { input: script })
    tool('dd', `if=${boot}`, `of=${image}`, 'bs=512', 'seek=8192', 'conv=notrunc')
    const files = await fill(folder, image, 8192 * 512)
    await provision(image)
    tool('dd', `if=${image}`, `of=${join(folder, 'part')}`, 'bs=512', 'skip=8192', 'count=131072', 'status=none')
    await judge(folder, join(folder, 'part'), files)
    assert.equal(spawnSync('sfdisk', ['--verify', image]).status, 0)
    // A table with a damaged header is not trusted.
    if (!script.includes('gpt')) continue
    const spoilt = await readFile(image)
    spoilt[512 + 72]! ^= 1
    await writeFile(image, spoilt)
    await assert.rejects(provision(image), refused('card-refused', /damaged partition table/))
  }
})

test('a block device is written, read back from the device, and refused while any of it is mounted', async (t) => {
  const folder = await newFolder(t)
  const image = join(folder, 'card.img')
  tool('truncate', '-s', '64M', image)
  tool('mkfs.vfat', '-F', '32', image)
  const files = await fill(folder, image)
  const device = tool('losetup', '--find', '--show', image).trim()
  t.after(() => spawnSync('losetup', ['--detach', device]))
  await assert.rejects(provision(image), refused('device-busy', /is in use/), 'a file that a loop device holds')
  await provision(device)
  tool('losetup', '--detach', device)
  await judge(folder, image, files)

  const mounted = join(folder, 'root.img')
  tool('truncate', '-s', '16M', mounted)
  tool('mkfs.ext4', '-q', mounted)
  const other = tool('losetup', '--find', '--show', mounted).trim()
  t.after(() => spawnSync('losetup', ['--detach', other]))
  await assert.rejects(provision(other), refused('card-refused', /no FAT partition/))
  const point = join(folder, 'mnt')
  tool('mkdir', point)
  tool('mount', other, point)
  t.after(() => spawnSync('umount', [point]))
  await assert.rejects(provision(other), refused('device-busy', /is in use: it is mounted/))

  // A card whose lock is closed.
  const locked = tool('losetup', '--find', '--show', '--read-only', image).trim()
  t.after(() => spawnSync('losetup', ['--detach', locked]))
  await assert.rejects(provision(locked), refused('card-refused', /write-protected|not permitted/))
  tool('umount', point)
  for (const used of [other, locked]) tool('losetup', '--detach', used)
})

test('what fsck.fat calls dirty is refused, and taken once it is repaired', async (t) => {
  const folder = await newFolder(t)
  const image = join(folder, 'card.img')
  tool('truncate', '-s', '64M', image)
  tool('mkfs.vfat', '-F', '32', image)
  const files = await fill(folder, image)
  const dirty = await readFile(image)
  dirty[65]! |= 1
  await writeFile(image, dirty)
  await assert.rejects(provision(image), refused('card-refused', /not unmounted/))
  spawnSync('fsck.fat', ['-a', image])
  await provision(image)
  await judge(folder, image, files)
})

test('F-02 after a power cut at any write fsck.fat repairs, loses no file, and the next try needs no repair', {
  timeout: 240_000,
}, async (t) => {
  const folder = await newFolder(t)
  const image = join(folder, 'card.img')
  tool('truncate', '-s', '40M', image)
  tool('mkfs.vfat', '-F', '32', '-s', '1', image)
  const files = await fill(folder, image)
  const at = wallTime(Date.UTC(2026, 10, 22))
  const before = await readFile(image)
  const whole = new CuttableCard(before)
  await (await FatVolume.open(whole))!.write(bundleFile, bytes, at)
  for (let cut = 0; cut < whole.writes; cut++) {
    const card = new CuttableCard(before, cut, cut + 7)
    await assert.rejects((await FatVolume.open(card))!.write(bundleFile, bytes, at), PowerCut)
    const left = card.afterCut()
    const again = new CuttableCard(left)
    await (await FatVolume.open(again))!.write(bundleFile, bytes, at)
    const retried = join(folder, 'retried.img')
    await writeFile(retried, again.bytes)
    assert.ok(execFileSync('mtype', ['-i', retried, `::${bundleFile}`]).equals(bytes), `cut ${cut}`)
    if (cut % 4 !== 0) continue
    await writeFile(image, left)
    for (const [path, mended] of [
      [image, false],
      [retried, true],
    ] as const) {
      const repair = spawnSync('fsck.fat', ['-a', '-v', path], { encoding: 'utf8' })
      assert.ok(repair.status === 0 || repair.status === 1, repair.stdout)
      assert.doesNotMatch(repair.stdout, /share clusters|contains a free cluster|has a bad name|Truncating/, `cut ${cut}`)
      const all = mended ? { ...files, [bundleFile]: bytes } : files
      for (const [name, content] of Object.entries(all))
        assert.ok(execFileSync('mtype', ['-i', path, `::${name}`], { maxBuffer: 1 << 24 }).equals(content), `cut ${cut}: ${name}`)
    }
  }
  assert.equal(decodeBundle(bytes, suite).serial, serial)
})

const refused = (code: ErrorCode, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AditError && error.code === code, String(error))
  assert.match(error.message, text)
  return true
}
