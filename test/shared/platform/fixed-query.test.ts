import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { type Kysely, sql } from 'kysely'
import { FixedQuery } from '#shared/platform/fixed-query.ts'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { queryBuilder } from '#shared/platform/sqlite-dialect.ts'

interface Tables {
  readings: { id: number; name: string; value: number | null }
}

test('a fixed query is built once, and each call brings its own values, on any database and within a transaction', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-fixed-'))
  let built = 0
  const insert = new FixedQuery((db: Kysely<Tables>, { id, name, value }: Tables['readings']) => {
    built += 1
    return db.insertInto('readings').values({ id, name, value }).returning('id')
  })
  const named = new FixedQuery((db: Kysely<Tables>, { name, least }: { name: string; least: number }) =>
    db.selectFrom('readings').select(['id', 'value']).where('name', '=', name).where('id', '>=', least).where('id', '<', 9),
  )
  const databases = await Promise.all(['a.db', 'b.db'].map((file) => openDatabase(join(folder, file))))
  try {
    for (const database of databases) {
      const db = queryBuilder<Tables>(database)
      await sql`CREATE TABLE readings (id INTEGER PRIMARY KEY, name TEXT NOT NULL, value INTEGER)`.execute(db)
      assert.deepEqual(await insert.execute(db, { id: 1, name: 'volts', value: null }), [{ id: 1 }])
      const undone = db.transaction().execute(async (transaction) => {
        await insert.execute(transaction, { id: 2, name: 'volts', value: 5 })
        assert.equal((await named.execute(transaction, { name: 'volts', least: 1 })).length, 2)
        throw new Error('undo')
      })
      await assert.rejects(undone, /undo/)
      await insert.execute(db, { id: 3, name: 'amps', value: 7 })
      await insert.execute(db, { id: 9, name: 'amps', value: 8 })
      assert.deepEqual(await named.execute(db, { name: 'volts', least: 1 }), [{ id: 1, value: null }])
      assert.deepEqual(await named.execute(db, { name: 'amps', least: 2 }), [{ id: 3, value: 7 }])
      assert.deepEqual(await named.execute(db, { name: 'amps', least: 4 }), [])
    }
    assert.equal(built, 1)
  } finally {
    for (const database of databases) await database.close()
    rmSync(folder, { recursive: true })
  }
})
