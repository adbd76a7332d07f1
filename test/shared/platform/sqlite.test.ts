import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { isOldSqlite, openDatabase } from '#shared/platform/sqlite.ts'

const folder = mkdtempSync(join(tmpdir(), 'adit-sqlite-'))
after(() => rmSync(folder, { recursive: true }))
let count = 0
const freshPath = (): string => join(folder, `${++count}.db`)

test('a write is there for a reader once it has resolved', async () => {
  const database = await openDatabase(freshPath())
  await database.write('CREATE TABLE t (n INTEGER, b BLOB) STRICT')
  await database.write('INSERT INTO t VALUES (?, ?)', [2 ** 41, new Uint8Array([1, 2])])
  const rows = await database.read<{ n: number; b: Buffer }>('SELECT n, b FROM t')
  assert.equal(rows[0]?.n, 2 ** 41)
  assert.deepEqual([...(rows[0]?.b ?? [])], [1, 2])
  await database.close()
})

test('durability and safety are switched on', async () => {
  const database = await openDatabase(freshPath())
  const pragmas = await database.transaction(async (session) => {
    const value = async (name: string): Promise<unknown> =>
      Object.values((await session.all<object>(`PRAGMA ${name}`))[0] ?? {})[0]
    return {
      journal: await value('journal_mode'),
      synchronous: await value('synchronous'),
      keys: await value('foreign_keys'),
      mmap: await value('mmap_size'),
    }
  })
  assert.deepEqual(pragmas, { journal: 'wal', synchronous: 2, keys: 1, mmap: 0 })
  await assert.rejects(database.read('DELETE FROM sqlite_master'), { code: 'storage-failed' })
  await database.close()
})

test('transactions run one at a time, and a failed one leaves nothing', async () => {
  const database = await openDatabase(freshPath())
  await database.write('CREATE TABLE t (n INTEGER) STRICT')
  const add = (n: number, fail: boolean): Promise<void> =>
    database.transaction(async (session) => {
      await session.run('INSERT INTO t VALUES (?)', [n])
      const rows = await session.all<{ n: number }>('SELECT n FROM t WHERE n < 0')
      assert.equal(rows.length, 0, 'saw another transaction half done')
      await session.run('UPDATE t SET n = n')
      if (fail) throw new Error('on purpose')
    })
  const results = await Promise.allSettled(Array.from({ length: 40 }, (_, n) => add(n, n % 2 === 1)))
  assert.equal(results.filter(({ status }) => status === 'rejected').length, 20)
  const rows = await database.read<{ n: number }>('SELECT n FROM t ORDER BY n')
  assert.deepEqual(
    rows.map(({ n }) => n),
    Array.from({ length: 20 }, (_, n) => n * 2),
  )
  await database.close()
})

test('a full disk is a sentence with a mend, and what was committed stays', async () => {
  const database = await openDatabase(freshPath(), { maxPages: 20 })
  await database.write('CREATE TABLE t (b BLOB) STRICT')
  let committed = 0
  const fill = async (): Promise<void> => {
    for (;;) {
      await database.write('INSERT INTO t VALUES (?)', [new Uint8Array(4000)])
      committed += 1
    }
  }
  await assert.rejects(fill(), { code: 'disk-full', mend: /Free some space/ })
  assert.ok(committed > 5)
  const [row] = await database.read<{ n: number }>('SELECT count(*) AS n FROM t')
  assert.equal(row?.n, committed)
  // A smaller write still goes, so the database is not stuck in a broken transaction.
  await database.write('DELETE FROM t WHERE rowid = 1')
  await database.close()
})

test('P-32 the file and its log are private whatever the umask, and an open file is refused', async () => {
  const path = freshPath()
  const umask = process.umask(0)
  try {
    const database = await openDatabase(path)
    await database.write('CREATE TABLE t (n INTEGER)')
    for (const suffix of ['', '-wal', '-shm']) assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix)
    await database.close()
  } finally {
    process.umask(umask)
  }
  chmodSync(path, 0o640)
  await assert.rejects(openDatabase(path), { code: 'permission-unsafe', mend: /chmod 600/ })
  const link = freshPath()
  symlinkSync(path, link)
  await assert.rejects(openDatabase(link), { code: 'permission-unsafe' })
})

test('something else than a database, and a folder that is not there', async () => {
  const path = freshPath()
  writeFileSync(path, 'x'.repeat(5000), { mode: 0o600 })
  await assert.rejects(openDatabase(path), { code: 'storage-failed', message: /is not a database/ })
  await assert.rejects(openDatabase(join(folder, 'missing', 'a.db')), { code: 'storage-failed' })
})

test('many more different statements than are kept prepared', async () => {
  const database = await openDatabase(freshPath())
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, n) => database.read<{ n: number }>(`SELECT ${n} AS n`).then((rows) => rows[0]?.n)),
  )
  assert.deepEqual(
    answers,
    Array.from({ length: 300 }, (_, n) => n),
  )
  for (let n = 0; n < 200; n += 1) assert.equal((await database.read<{ n: number }>(`SELECT ${n} AS n`))[0]?.n, n)
  await database.close()
  await assert.rejects(database.read('SELECT 1'), { code: 'storage-failed', message: /is closed/ })
})

test('SQLite before 3.51.3 is refused', () => {
  for (const old of ['3.51.2', '3.7.0', '2.9.9', '3.50.99', 'unknown', '']) assert.equal(isOldSqlite(old), true, old)
  for (const good of ['3.51.3', '3.52.0', '3.51.10', '4.0.0']) assert.equal(isOldSqlite(good), false, good)
})
