import { AditError } from '#shared/errors.ts'
import { type Database, openDatabase, type Session } from '#shared/platform/sqlite.ts'
import { isDamage } from '#shared/platform/sqlite-error.ts'
import { decodeCbor, encodeCbor } from '#shared/telemetry/cbor.ts'
import type { OutboxLevel, OutboxRow, OutboxStore, Priority, Shed } from '#shared/telemetry/outbox.ts'
import { Quality, toReadingValue } from '#shared/telemetry/reading.ts'
import { quarantine } from './quarantine.ts'

/** Nine columns a row: a statement stays far below SQLite's 32,766 parameters, and its text below a few KB. */
const ROWS_PER_STATEMENT = 200

/** Rows go in at one end and out at the other: more than the ends of the trees need not stay in a small device's memory. */
const CACHE_KIB = 512

const schema = [
  `CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS reading (
     boot INTEGER NOT NULL, seq INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, unit TEXT,
     at INTEGER NOT NULL, quality INTEGER NOT NULL, priority INTEGER NOT NULL, bytes INTEGER NOT NULL,
     PRIMARY KEY (boot, seq)) WITHOUT ROWID`,
  `CREATE INDEX IF NOT EXISTS reading_by_priority ON reading (priority, boot, seq)`,
]

interface StoredRow {
  boot: number
  seq: number
  name: string
  value: Uint8Array
  unit: string | null
  at: number
  quality: number
  priority: Priority
  bytes: number
}

/** The outbox on sqlite3: WAL and synchronous=FULL, so that what is acknowledged to a publisher survives a power cut (P-22). */
export class SqliteOutboxStore implements OutboxStore {
  readonly #database: Database

  private constructor(database: Database) {
    this.#database = database
  }

  /** Throws AditError `disk-full`, `storage-failed`, `storage-too-old` or `permission-unsafe`; `isDamage` tells a damaged file. */
  static async open(path: string, options: { maxPages?: number } = {}): Promise<SqliteOutboxStore> {
    const database = await openDatabase(path, { readers: 1, cacheKib: CACHE_KIB, ...options })
    try {
      await database.transaction(async (session) => {
        for (const statement of schema) await session.run(statement)
      })
      await assertWhole(database)
    } catch (error) {
      await database.close().catch(() => undefined)
      throw error
    }
    return new SqliteOutboxStore(database)
  }

  /** The same, but a damaged file is put aside and a new one begun (F-03): `aside` is then its new name. */
  static async openOrBegin(path: string): Promise<{ store: SqliteOutboxStore; aside?: string }> {
    try {
      return { store: await SqliteOutboxStore.open(path) }
    } catch (error) {
      if (!isDamage(error)) throw error
      const aside = await quarantine(path, ['-wal', '-shm'])
      return { store: await SqliteOutboxStore.open(path), aside }
    }
  }

  nextBoot(least = 1): Promise<number> {
    return this.#database.transaction(async (session) => {
      await session.run(`INSERT INTO counter VALUES ('boot', ?) ON CONFLICT (name) DO UPDATE SET value = MAX(value + 1, ?)`, [
        least,
        least,
      ])
      const [row] = await session.all<{ value: number }>(`SELECT value FROM counter WHERE name = 'boot'`)
      if (row === undefined) throw new AditError('storage-failed', 'The outbox has no boot counter.', 'Move outbox.db away.')
      return row.value
    })
  }

  async level(): Promise<OutboxLevel> {
    const [level] = await this.#database.read<OutboxLevel>(`${sums} FROM reading`)
    return level ?? nothing
  }

  append(rows: readonly OutboxRow[]): Promise<void> {
    return this.#database.transaction((session) => insert(session, rows))
  }

  async after(boot: number, seq: number, limit: number): Promise<OutboxRow[]> {
    const rows = await this.#database.read<StoredRow>(
      `SELECT boot, seq, name, value, unit, at, quality, priority, bytes FROM reading
       WHERE (boot, seq) > (?, ?) ORDER BY boot, seq LIMIT ?`,
      [boot, seq, limit],
    )
    return rows.map(rowOf)
  }

  remove(boot: number, seq: number): Promise<OutboxLevel> {
    return this.#database.transaction(async (session) => {
      const [gone] = await session.all<OutboxLevel>(`${sums} FROM reading WHERE (boot, seq) <= (?, ?)`, [boot, seq])
      await session.run(`DELETE FROM reading WHERE (boot, seq) <= (?, ?)`, [boot, seq])
      return gone ?? nothing
    })
  }

  shed(priority: Priority, rows: number, gap: (shed: Shed) => OutboxRow): Promise<Shed> {
    return this.#database.transaction(async (session) => {
      const [shed] = await session.all<Shed>(
        `${sums}, COALESCE(MIN(at), 0) AS firstAt, COALESCE(MAX(at), 0) AS lastAt FROM (${oldest})`,
        [priority, rows],
      )
      if (shed === undefined || shed.rows === 0) return { ...nothing, firstAt: 0, lastAt: 0 }
      await session.run(`DELETE FROM reading WHERE (boot, seq) IN (SELECT boot, seq FROM (${oldest}))`, [priority, rows])
      await insert(session, [gap(shed)])
      return shed
    })
  }

  close(): Promise<void> {
    return this.#database.close()
  }
}

const nothing: OutboxLevel = { rows: 0, bytes: 0 }
const sums = `SELECT COUNT(*) AS rows, COALESCE(SUM(bytes), 0) AS bytes`
const oldest = `SELECT boot, seq, at, bytes FROM reading WHERE priority = ? ORDER BY boot, seq LIMIT ?`

/** SQLite finds much damage only when it meets it: better at the start than under a publisher. Reads the whole file, off the loop. */
async function assertWhole(database: Database): Promise<void> {
  const [row] = await database.read<{ quick_check: string }>('PRAGMA quick_check(1)')
  if (row?.quick_check === 'ok') return
  const cause = Object.assign(new Error(row?.quick_check ?? 'no answer'), { code: 'SQLITE_CORRUPT' })
  throw new AditError('storage-failed', `${database.path} is damaged.`, 'Move it away.', { cause })
}

async function insert(session: Session, rows: readonly OutboxRow[]): Promise<void> {
  for (let at = 0; at < rows.length; at += ROWS_PER_STATEMENT) {
    const chunk = rows.slice(at, at + ROWS_PER_STATEMENT)
    const places = chunk.map(() => '(?, ?, ?, ?, ?, ?, ?, ?, ?)').join(', ')
    await session.run(
      `INSERT INTO reading (boot, seq, name, value, unit, at, quality, priority, bytes) VALUES ${places}`,
      chunk.flatMap((r) => [r.boot, r.seq, r.name, encodeCbor(r.value as never), r.unit, r.at, r.quality, r.priority, r.bytes]),
    )
  }
}

/** A value whose bytes the flash has spoilt, which SQLite does not check, is told as a gap and not allowed to stop the others (F-03). */
function rowOf(row: StoredRow): OutboxRow {
  try {
    return { ...row, value: toReadingValue(decodeCbor(row.value)) }
  } catch {
    return { ...row, value: null, quality: row.quality | Quality.gap }
  }
}
