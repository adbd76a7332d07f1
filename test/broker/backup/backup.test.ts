import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { openBackup } from '#broker/backup/io/read-backup.ts'
import { checkBackup, restoreBackup } from '#broker/backup/io/restore-backup.ts'
import { writeBackup } from '#broker/backup/io/write-backup.ts'
import { CHUNK_LENGTH } from '#broker/backup/sealed-chunks.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { type ErrorCode, isAditError } from '#shared/errors.ts'

/** Passphrases are guessed at cheaply here. */
const costs = { n: 2 ** 10, r: 8, p: 1 } as unknown as { n: 131072; r: 8; p: 1 }
const passphrase = 'correct horse'
const header = { made: 1_800_000_000_000, by: '1.0', fleet: 'ab'.repeat(32), incarnation: { id: 'cd'.repeat(16), epoch: 3 } }

/** A backup of three small files and a registry of `size` bytes. */
async function scene(t: TestContext, size = 3 * CHUNK_LENGTH + 17) {
  const folder = mkdtempSync(join(tmpdir(), 'adit-backup-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const registry = join(folder, 'snapshot')
  writeFileSync(registry, Buffer.alloc(size, 'reading '))
  const files = ['ca/root.pem', 'ca/device.key', 'config.toml'].map((path) => ({
    path,
    bytes: Buffer.from(`content of ${path}`),
  }))
  const path = join(folder, 'adit.backup')
  await writeBackup(path, passphrase, { header, files, registry }, suite, costs)
  const open = (given = passphrase, file = path) => openBackup(file, async () => given, suite)
  return { folder, path, files, registry, open }
}

const refused = (code: ErrorCode) => (error: unknown) => isAditError(error) && error.code === code

test('what was sealed is restored byte for byte, private, with a life of its own; twice gives two lives', async (t) => {
  for (const size of [0, 1, CHUNK_LENGTH - 300, CHUNK_LENGTH, 5 * CHUNK_LENGTH + 1]) {
    const { folder, path, files, registry, open } = await scene(t, size)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.equal(readFileSync(path).includes('content of'), false)
    const backup = await open()
    const lives = []
    for (const name of ['one', 'two']) {
      const target = join(folder, name)
      if (name === 'two') mkdirSync(target, { mode: 0o700 })
      const restored = await restoreBackup(backup, target, 1_900_000_000_000, suite)
      assert.equal(restored.files, 4)
      for (const file of files) assert.deepEqual(readFileSync(join(target, file.path)), Buffer.from(file.bytes))
      assert.deepEqual(readFileSync(join(target, 'adit.db')), readFileSync(registry))
      assert.equal(statSync(join(target, 'ca')).mode & 0o777, 0o700)
      assert.equal(statSync(join(target, 'ca/device.key')).mode & 0o777, 0o600)
      lives.push(JSON.parse(readFileSync(join(target, 'restored.json'), 'utf8')))
    }
    assert.deepEqual(
      lives.map(({ incarnation, from }) => [incarnation.epoch, from.epoch]),
      [
        [4, 3],
        [4, 3],
      ],
    )
    assert.notEqual(lives[0].incarnation.id, lives[1].incarnation.id)
    await assert.rejects(restoreBackup(backup, join(folder, 'one'), 0, suite), refused('usage'))
    await backup.close()
    assert.deepEqual(readdirSync(folder).sort(), ['adit.backup', 'one', 'snapshot', 'two'])
  }
})

test('a wrong passphrase, a newer format and a file that is none are told apart', async (t) => {
  const { path, folder, open } = await scene(t)
  await assert.rejects(open('incorrect horse'), refused('passphrase-wrong'))
  const bytes = readFileSync(path)
  const newer = join(folder, 'newer')
  writeFileSync(newer, Buffer.concat([bytes.subarray(0, 8), Buffer.of(0, 2), bytes.subarray(10)]))
  await assert.rejects(open(passphrase, newer), refused('backup-newer'))
  writeFileSync(newer, 'PK\u0003\u0004 something else')
  await assert.rejects(open(passphrase, newer), refused('backup-damaged'))
  await assert.rejects(open(passphrase, join(folder, 'nothing')), refused('not-found'))
  // No backup is written over another.
  await assert.rejects(writeBackup(path, passphrase, { header, files: [], registry: path }, suite, costs), refused('usage'))
})

test('every bit counts: damage anywhere, a cut anywhere, chunks moved or left out: refused, and nothing is written', async (t) => {
  const { path, folder, open } = await scene(t)
  const good = readFileSync(path)
  const spoilt = join(folder, 'spoilt')
  const target = join(folder, 'target')
  const attempt = async (): Promise<void> => {
    const backup = await open(passphrase, spoilt)
    try {
      await assert.rejects(checkBackup(backup), refused('backup-damaged'))
      await assert.rejects(restoreBackup(backup, target, 0, suite), refused('backup-damaged'))
    } finally {
      await backup.close()
    }
  }
  const judge = async (what: string): Promise<void> => {
    try {
      await attempt()
    } catch (error) {
      // The header says so itself, or the key that it leads to is another.
      assert.ok(
        isAditError(error) && ['backup-damaged', 'backup-newer', 'passphrase-wrong'].includes(error.code),
        `${what}: ${error}`,
      )
    }
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.includes('target')),
      [],
      what,
    )
  }
  const headerEnd = 12 + good.readUInt16BE(10) + 16
  const places = [...Array(40).keys()].map((n) => Math.floor((n * (good.length - 1)) / 39))
  for (const at of [...places, headerEnd - 1, headerEnd, 13, 60]) {
    const bytes = Buffer.from(good)
    bytes[at]! ^= 1
    writeFileSync(spoilt, bytes)
    await judge(`byte ${at} flipped`)
    cpSync(path, spoilt)
    truncateSync(spoilt, at)
    await judge(`cut at ${at}`)
  }
  const sealed = CHUNK_LENGTH + 16
  const chunk = (n: number): Buffer => good.subarray(headerEnd + n * sealed, headerEnd + (n + 1) * sealed)
  writeFileSync(spoilt, Buffer.concat([good.subarray(0, headerEnd), chunk(1), chunk(0), chunk(2), chunk(3)]))
  await judge('two chunks changed places')
  writeFileSync(spoilt, Buffer.concat([good.subarray(0, headerEnd), chunk(0), chunk(2), chunk(3)]))
  await judge('one left out')
  writeFileSync(spoilt, Buffer.concat([good.subarray(0, headerEnd), chunk(0), chunk(1), chunk(2)]))
  await judge('the last left out')
  writeFileSync(spoilt, Buffer.concat([good, Buffer.of(0)]))
  await judge('one byte more')
})
