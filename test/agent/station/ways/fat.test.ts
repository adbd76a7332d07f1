import assert from 'node:assert/strict'
import test from 'node:test'
import { findVolume } from '#agent/station/ways/fat/partition-table.ts'
import { FatVolume } from '#agent/station/ways/fat/volume.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bundleFile, bundleLimit, decodeBundle, encodeBundle } from '#shared/enrolment/unit-bundle.ts'
import { AditError, type ErrorCode } from '#shared/errors.ts'
import { wallTime } from '#shared/time/instant.ts'
import { DeskInMemory } from '#test/agent/station/desk-in-memory.ts'
import { type CardShape, CuttableCard, formatCard, lookAtCard, PowerCut, putLink } from '#test/agent/station/ways/fat-card.ts'

const at = wallTime(Date.UTC(2026, 10, 22))
const shapes: CardShape[] = [
  { kind: 12, clusters: 120, sectorsPerCluster: 1, rootEntries: 16 },
  { kind: 12, clusters: 900, sectorsPerCluster: 4, rootEntries: 64 },
  { kind: 16, clusters: 4200, sectorsPerCluster: 1, rootEntries: 16 },
  { kind: 32, clusters: 400, sectorsPerCluster: 1, rootEntries: 0 },
  { kind: 32, clusters: 300, sectorsPerCluster: 8, rootEntries: 0 },
]
const others = {
  'CONFIG.TXT': Buffer.from('arm_64bit=1\n'),
  'KERNEL8.IMG': Buffer.alloc(20_000, 0x5a),
  'CMDLINE.TXT': Buffer.from('console=serial0'),
}
const desk = new DeskInMemory()
for (const serial of ['unit-1', 'unit-2']) await desk.open(serial, 'image')
const bundle = await desk.bundle('unit-1')
const bytes = Buffer.from(encodeBundle(bundle, suite))
const other = Buffer.from(encodeBundle(await desk.bundle('unit-2'), suite))
const secret = Buffer.from(bundle.identityPem.slice(40, 80))
const named = 'ADIT-ID.BIN'

const open = async (card: CuttableCard): Promise<FatVolume> => (await FatVolume.open(card))!
const titleOf = ({ kind, clusters, sectorsPerCluster }: CardShape): string => `FAT${kind}, ${clusters} x ${sectorsPerCluster}`
const fails = (code: ErrorCode, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AditError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, text)
  return true
}

function checkOthers(card: Uint8Array, shape: CardShape): ReturnType<typeof lookAtCard> {
  const look = lookAtCard(card, shape)
  for (const [name, content] of Object.entries(others)) assert.ok(look.files[name]?.equals(content), `${name} is untouched`)
  return look
}

/** Not there, torn, whole, or still what it was: a file that decodes is one of the two. */
function checkContent(there: Buffer | undefined, cut: number): void {
  if (there === undefined || there.equals(other) || there.equals(bytes)) return
  assert.throws(() => decodeBundle(there, suite), AditError, `cut ${cut}`)
}

for (const shape of shapes) {
  test(`${titleOf(shape)}: a file is written, read, and written again in its place; nothing else changes`, async () => {
    const card = new CuttableCard(formatCard(shape, others))
    const progress: number[] = []
    await (await open(card)).write(bundleFile, bytes, at, (part) => progress.push(part))
    assert.equal(progress.at(-1), 1)
    const look = checkOthers(card.bytes, shape)
    assert.ok(look.files[named]?.equals(bytes))
    assert.ok(look.fatsEqual && look.orphans === 0)
    if (shape.kind === 32) assert.equal(look.freeCount, look.free)
    assert.deepEqual(Buffer.from((await (await open(card)).read(bundleFile, bundleLimit))!), bytes)
    const writes = card.writes
    await (await open(card)).write(bundleFile, other, at)
    assert.ok(checkOthers(card.bytes, shape).files[named]?.equals(other))
    assert.ok(card.writes - writes <= bytes.length / 512, 'only content')
    assert.equal(Buffer.from(card.bytes).indexOf(secret), -1, 'the old keys are gone')
  })

  test(`${titleOf(shape)}: a file of another size under that name goes, content and all`, async () => {
    const old = Buffer.alloc(5000, 'old content ')
    const card = new CuttableCard(formatCard(shape, { ...others, [named]: old }))
    await (await open(card)).write(bundleFile, bytes, at)
    const look = checkOthers(card.bytes, shape)
    assert.ok(look.files[named]?.equals(bytes) && look.orphans === 0 && look.fatsEqual)
    assert.equal(Buffer.from(card.bytes).indexOf('old content'), -1)
  })

  test(`F-02 ${titleOf(shape)}: power cut before every write: the others are whole, no key is astray, the next try ends it`, async () => {
    for (const before of [others, { ...others, [named]: Buffer.alloc(700, 1) }, { ...others, [named]: other }]) {
      const empty = formatCard(shape, before)
      const whole = new CuttableCard(empty)
      await (await open(whole)).write(bundleFile, bytes, at)
      for (let cut = 0; cut < whole.writes; cut++) {
        const card = new CuttableCard(empty, cut, cut + 1)
        await assert.rejects((await open(card)).write(bundleFile, bytes, at), PowerCut)
        const left = Buffer.from(card.afterCut())
        const look = checkOthers(left, shape)
        const there = look.files[named]
        checkContent(there, cut)
        for (let found = left.indexOf(secret); found !== -1; found = left.indexOf(secret, found + 1))
          assert.ok(
            look.places[named]?.some(([from, to]) => found >= from && found < to),
            `cut ${cut}: a key in no file`,
          )
        assert.ok(shape.kind !== 32 || look.freeCount === undefined || look.freeCount === look.free, `cut ${cut}: free count`)
        const again = new CuttableCard(left)
        await (await open(again)).write(bundleFile, bytes, at)
        const mended = checkOthers(again.bytes, shape)
        assert.ok(mended.files[named]?.equals(bytes) && mended.fatsEqual, `cut ${cut}`)
        assert.ok(
          mended.orphans <= Math.ceil(bytes.length / (512 * shape.sectorsPerCluster)),
          `cut ${cut}: ${mended.orphans} orphans`,
        )
      }
    }
  })

  test(`${titleOf(shape)}: a full card is refused before anything is written`, async () => {
    const room = (shape.clusters - 2) * shape.sectorsPerCluster * 512
    const ballast = { ...others, 'BALLAST.BIN': Buffer.alloc(room - 20_480 - 5 * shape.sectorsPerCluster * 512, 2) }
    const card = new CuttableCard(formatCard(shape, ballast))
    await assert.rejects((await open(card)).write(bundleFile, Buffer.alloc(24_576), at), fails('disk-full', /No room/))
    assert.equal(card.writes, 0)
  })
}

test('a root directory without a free entry grows on FAT32 and is full before that', async () => {
  const many = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`FILE${n}.TXT`, Buffer.from(`file ${n}`)]))
  const fat32 = shapes[3]!
  const card = new CuttableCard(formatCard(fat32, many))
  await (await open(card)).write(bundleFile, bytes, at)
  const look = lookAtCard(card.bytes, fat32)
  assert.ok(look.files[named]?.equals(bytes) && look.orphans === 0 && Object.keys(look.files).length === 17)
  const full = new CuttableCard(formatCard(shapes[0]!, many))
  await assert.rejects((await open(full)).write(bundleFile, bytes, at), fails('disk-full', /No room/))
})

test('what is behind the end of a directory does not come to life', async () => {
  const shape = shapes[2]!
  const formatted = Buffer.from(formatCard(shape, others))
  const root = formatted.indexOf('CONFIG  TXT')
  formatted.write('GHOST   TXT', root + 4 * 32, 'latin1')
  const card = new CuttableCard(formatted)
  await (await open(card)).write(bundleFile, bytes, at)
  assert.deepEqual(Object.keys(lookAtCard(card.bytes, shape).files), [...Object.keys(others), named])
})

test('loops, cut chains, dirt and nonsense are refused with a mend, and nothing is written', async () => {
  const shape = shapes[2]!
  const fat = 32 * 512
  const spoil = (change: (card: Buffer) => void): CuttableCard => {
    const card = Buffer.from(formatCard(shape, { ...others, [named]: bytes }))
    change(card)
    return new CuttableCard(card)
  }
  const first = lookAtCard(formatCard(shape, { ...others, [named]: bytes }), shape)
  assert.ok(first.files[named])
  const chainAt = 2 + 1 + 40 + 1
  const cases: [string, CuttableCard, RegExp][] = [
    ['a loop', spoil((card) => putLink(card, fat, 16, chainAt + 2, chainAt)), /loops/],
    ['a chain out of the card', spoil((card) => putLink(card, fat, 16, chainAt + 2, 60_000)), /leads to cluster 60000/],
    ['a chain to a free cluster', spoil((card) => putLink(card, fat, 16, chainAt + 2, 0)), /leads to cluster 0/],
    ['the flag of the table', spoil((card) => putLink(card, fat, 16, 1, 0x7fff)), /not unmounted/],
    ['the flag of the boot sector', spoil((card) => (card[37] = 1)), /not unmounted/],
    ['more sectors than there are', spoil((card) => card.writeUInt32LE(0x7fff_ffff, 32)), /larger than its partition/],
    ['no table', spoil((card) => card.writeUInt16LE(1, 22)), /too short/],
    ['a folder of that name', spoil((card) => (card[card.indexOf('ADIT-ID BIN') + 11] = 0x10)), /a folder where/],
  ]
  for (const [title, card, reason] of cases) {
    const before = Buffer.from(card.bytes)
    await assert.rejects(
      open(card).then((volume) => volume.write(bundleFile, bytes, at)),
      fails('card-refused', reason),
      title,
    )
    assert.ok(before.equals(card.bytes), title)
  }
})

test('the volume is found behind an MBR; other disks are refused', async () => {
  const shape = shapes[3]!
  const inner = formatCard(shape, others)
  const disk = Buffer.alloc(2048 * 512 + inner.length + 512)
  disk.set(inner, 2048 * 512)
  disk[446 + 4] = 0x83
  disk.writeUInt32LE(1, 446 + 8)
  disk.writeUInt32LE(9, 446 + 12)
  disk[462 + 4] = 0x0c
  disk.writeUInt32LE(2048, 462 + 8)
  disk.writeUInt32LE(inner.length / 512, 462 + 12)
  disk.writeUInt16LE(0xaa55, 510)
  const card = new CuttableCard(disk)
  await (await findVolume(card)).write(bundleFile, bytes, at)
  assert.ok(checkOthers(card.bytes.subarray(2048 * 512, 2048 * 512 + inner.length), shape).files[named]?.equals(bytes))
  assert.deepEqual(Buffer.from(card.bytes.subarray(0, 2048 * 512)), disk.subarray(0, 2048 * 512))

  disk.writeUInt32LE(0x7fff_ffff, 462 + 12)
  await assert.rejects(findVolume(new CuttableCard(disk)), fails('card-refused', /no FAT partition/))
  disk[462 + 4] = 0xee
  await assert.rejects(findVolume(new CuttableCard(disk)), fails('card-refused', /damaged partition table/))
  for (const size of [0, 100, 512, 100_000])
    await assert.rejects(findVolume(new CuttableCard(new Uint8Array(size))), fails('card-refused', /no FAT partition/))
})

test('any damage to boot sector, table and directory ends in a refusal or is seen by reading back, never in another error', async () => {
  const shape = shapes[3]!
  const whole = formatCard(shape, { ...others, [named]: bytes })
  let sound = 0
  let seed = 99
  const next = (limit: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff
    return (seed >> 8) % limit
  }
  for (let round = 0; round < 600; round++) {
    const spoilt = Buffer.from(whole)
    for (let n = 0; n <= next(4); n++) spoilt[round % 2 ? next(96) : next(44 * 512)] = next(256)
    const card = new CuttableCard(spoilt)
    try {
      const volume = await FatVolume.open(card)
      await volume?.write(bundleFile, bytes, at)
      const there = await (await FatVolume.open(card))?.read(bundleFile, bundleLimit)
      if (there && Buffer.compare(there, bytes) === 0) sound += 1
    } catch (error) {
      assert.ok(error instanceof AditError, `round ${round}: ${error}`)
    }
  }
  assert.ok(sound > 100, `${sound} of 600 were written`)
})
