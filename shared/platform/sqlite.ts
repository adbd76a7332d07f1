import { constants } from 'node:fs'
import { lstat, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { shellWord } from '#shared/terminal/shell-word.ts'
import { Mutex } from './mutex.ts'
import { sqliteError } from './sqlite-error.ts'
import { SqliteHandle } from './sqlite-handle.ts'

/**
 * Storage that keeps its word across a power cut: write-ahead log with synchronous=FULL (a resolved write is on disk), one writer
 * connection and a few readers, no mmap. SQLite before 3.51.3 could damage a database that two connections share (its WAL-reset
 * defect), so an older one is refused.
 */

export type SqlValue = number | string | Uint8Array | null

export interface RunResult {
  /** Rows changed. */
  readonly changes: number
  /** ROWID of the last inserted row. */
  readonly lastId: number
}

/** One handle; inside `Database.transaction`, the transaction. */
export interface Session {
  /** Rows of a query, or of a change with RETURNING. */
  all<Row>(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]>
  /** A change that returns no rows. */
  run(sql: string, parameters?: readonly SqlValue[]): Promise<RunResult>
}

/** A transaction in the hands of its caller: one of `commit` and `rollback` must follow, or no other can begin. */
export interface Transaction extends Session {
  commit(): Promise<void>
  rollback(): Promise<void>
}

export interface DatabaseOptions {
  /** Reader handles at most, opened when needed; 2 unless said otherwise. */
  readers?: number
  /** Pages of 4096 bytes in the log after which a commit also moves them into the database; 1000 unless said otherwise. */
  checkpointPages?: number
  /** Memory that each handle may keep pages of the file in, KiB; 2000 unless said otherwise. */
  cacheKib?: number
  /** Largest size in pages of 4096 bytes, for tests of a full disk. */
  maxPages?: number
}

/** One SQLite file: WAL, synchronous=FULL, one writer connection, a few readers. Every error is an AditError. */
export interface Database {
  readonly path: string
  /** A query on a reader handle: sees what was committed before the call. */
  read<Row>(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]>
  /** BEGIN IMMEDIATE, `work`, COMMIT; one at a time, in the order of the calls. Resolves after the commit; rolls back where `work` throws. */
  transaction<Result>(work: (session: Session) => Promise<Result>): Promise<Result>
  /** The same in three steps. */
  begin(): Promise<Transaction>
  /** One statement as a transaction of its own. */
  write(sql: string, parameters?: readonly SqlValue[]): Promise<RunResult>
  /** A copy of what is committed at this moment, whole and on the disk when it resolves, while others read and write. `path` must not be there. */
  snapshot(path: string): Promise<void>
  /** Waits for what was begun; then moves the log into the file. */
  close(): Promise<void>
}

/** 3.51.3, as sqlite3_libversion_number has it. */
const oldestVersion = [3, 51, 3] as const
const busyTimeoutMs = 5_000
/** SQLite's own. */
const defaultCacheKib = 2_000

/** Throws AditError storage-too-old | permission-unsafe | disk-full | storage-failed. The folder must exist. */
export async function openDatabase(path: string, options: DatabaseOptions = {}): Promise<Database> {
  try {
    await makePrivateFile(path)
    const writer = await SqliteHandle.open(path, 'write')
    try {
      await assertVersion(writer)
      await configureWriter(writer, options)
    } catch (error) {
      await writer.close().catch(() => undefined)
      throw error
    }
    return new SqliteDatabase(path, writer, options)
  } catch (error) {
    throw await sqliteError(error, path)
  }
}

class SqliteDatabase implements Database {
  readonly path: string
  readonly #writer: SqliteHandle
  readonly #readers: Promise<SqliteHandle>[] = []
  readonly #open: SqliteHandle[] = []
  readonly #readerLimit: number
  readonly #cacheKib: number
  readonly #turn = new Mutex()
  #closed = false

  constructor(path: string, writer: SqliteHandle, options: DatabaseOptions) {
    this.path = path
    this.#writer = writer
    this.#readerLimit = options.readers ?? 2
    this.#cacheKib = options.cacheKib ?? defaultCacheKib
  }

  async read<Row>(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]> {
    try {
      return await (await this.#reader()).all<Row>(sql, parameters)
    } catch (error) {
      throw await this.#explained(error)
    }
  }

  async transaction<Result>(work: (session: Session) => Promise<Result>): Promise<Result> {
    const transaction = await this.begin()
    try {
      const result = await work(transaction)
      await transaction.commit()
      return result
    } catch (error) {
      await transaction.rollback()
      throw error
    }
  }

  async begin(): Promise<Transaction> {
    const leave = await this.#turn.enter()
    try {
      this.#assertOpen()
      await this.#writer.run('BEGIN IMMEDIATE')
    } catch (error) {
      leave()
      throw await this.#explained(error)
    }
    return this.#transaction(leave)
  }

  write(sql: string, parameters?: readonly SqlValue[]): Promise<RunResult> {
    return this.transaction((session) => session.run(sql, parameters))
  }

  async snapshot(path: string): Promise<void> {
    this.#assertOpen()
    await makePrivateFile(path)
    let handle: SqliteHandle | undefined
    try {
      // A connection of its own: the copy may take minutes.
      handle = await SqliteHandle.open(this.path, 'read')
      await handle.all(`PRAGMA busy_timeout=${busyTimeoutMs}`)
      await handle.run('VACUUM INTO ?', [path])
    } catch (error) {
      throw await this.#explained(error)
    } finally {
      await handle?.close()
    }
    const copy = await open(path, constants.O_RDONLY)
    await copy.sync()
    await copy.close()
  }

  async close(): Promise<void> {
    const leave = await this.#turn.enter()
    try {
      if (this.#closed) return
      this.#closed = true
      const readers = await Promise.allSettled(this.#readers)
      await Promise.all(readers.map((reader) => (reader.status === 'fulfilled' ? reader.value.close() : undefined)))
      // Last of all connections: closing it moves the log into the database file.
      await this.#writer.close()
    } catch (error) {
      throw await sqliteError(error, this.path)
    } finally {
      leave()
    }
  }

  #transaction(leave: () => void): Transaction {
    let ended = false
    const explained = async <Result>(step: Promise<Result>): Promise<Result> => {
      try {
        return await step
      } catch (error) {
        throw await this.#explained(error)
      }
    }
    return {
      all: (sql, parameters) => explained(this.#writer.all(sql, parameters)),
      run: (sql, parameters) => explained(this.#writer.run(sql, parameters)),
      commit: async () => {
        await explained(this.#writer.run('COMMIT'))
        ended = true
        leave()
      },
      rollback: async () => {
        if (ended) return
        ended = true
        // After a full disk SQLite may have rolled back by itself: then there is nothing left to do, and it says so.
        await this.#writer.run('ROLLBACK').catch(() => undefined)
        leave()
      },
    }
  }

  /** An idle reader, else a new one, else the least busy. */
  async #reader(): Promise<SqliteHandle> {
    this.#assertOpen()
    let best = this.#open[0]
    for (const reader of this.#open) if (best && reader.pending < best.pending) best = reader
    if (best && (best.pending === 0 || this.#readers.length >= this.#readerLimit)) return best
    if (this.#readers.length >= this.#readerLimit) return (await Promise.race(this.#readers)) as SqliteHandle
    const opening = this.#openReader()
    this.#readers.push(opening)
    opening.catch(() => this.#readers.splice(this.#readers.indexOf(opening), 1))
    return opening
  }

  async #openReader(): Promise<SqliteHandle> {
    const reader = await SqliteHandle.open(this.path, 'read')
    const pragmas = [
      `busy_timeout=${busyTimeoutMs}`,
      'mmap_size=0',
      `cache_size=-${this.#cacheKib}`,
      'trusted_schema=OFF',
      'query_only=ON',
    ]
    for (const pragma of pragmas) await reader.all(`PRAGMA ${pragma}`)
    this.#open.push(reader)
    return reader
  }

  #assertOpen(): void {
    if (this.#closed) throw new AditError('storage-failed', `${this.path} is closed.`, 'Start the program again.')
  }

  #explained(error: unknown): Promise<AditError> {
    return sqliteError(error, this.path)
  }
}

async function configureWriter(writer: SqliteHandle, options: DatabaseOptions): Promise<void> {
  const pragmas = [
    `busy_timeout=${busyTimeoutMs}`,
    'journal_mode=WAL',
    'synchronous=FULL',
    'foreign_keys=ON',
    'mmap_size=0',
    `cache_size=-${options.cacheKib ?? defaultCacheKib}`,
    'trusted_schema=OFF',
    'temp_store=MEMORY',
    `wal_autocheckpoint=${options.checkpointPages ?? 1_000}`,
    // A log that one burst made long is cut again at the next checkpoint.
    `journal_size_limit=${64 * 1024 * 1024}`,
    ...(options.maxPages === undefined ? [] : [`max_page_count=${options.maxPages}`]),
  ]
  for (const pragma of pragmas) await writer.all(`PRAGMA ${pragma}`)
  const [mode] = await writer.all<{ journal_mode: string }>('PRAGMA journal_mode')
  if (mode?.journal_mode !== 'wal') {
    const message = 'The file system of this folder cannot carry a write-ahead log.'
    throw new AditError('storage-failed', message, 'Choose a folder on a local disk.')
  }
}

async function assertVersion(handle: SqliteHandle): Promise<void> {
  const rows = await handle.all<{ version: string }>('SELECT sqlite_version() AS version')
  const version = rows[0]?.version ?? 'unknown'
  if (isOldSqlite(version)) {
    const message = `SQLite ${version} is too old: before ${oldestVersion.join('.')} it could damage a database.`
    throw new AditError('storage-too-old', message, 'Install the sqlite3 package that this program names (npm ci).')
  }
}

/** Whether a version text such as "3.51.2" is before 3.51.3, or is none. */
export function isOldSqlite(version: string): boolean {
  const numbers = version.split('.').map(Number)
  for (const [at, least] of oldestVersion.entries()) {
    const number = numbers[at] ?? Number.NaN
    if (number !== least) return !(number > least)
  }
  return false
}

/**
 * The file, empty, of mode 0600 whatever the umask says, and its name durable; SQLite gives the log the same mode. An existing file is
 * looked at, never opened: closing any descriptor of it would drop the POSIX locks that this process may hold through SQLite.
 */
export async function makePrivateFile(path: string): Promise<void> {
  try {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    await file.chmod(0o600)
    await file.sync()
    await file.close()
    const folder = await open(dirname(path), constants.O_RDONLY)
    await folder.sync()
    await folder.close()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return checkPrivateFile(path)
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new AditError('disk-full', `No room is left to make ${path}.`, 'Free some space on that disk.', { cause: error })
    }
    throw new AditError('storage-failed', `${path} cannot be made (${code}).`, 'Choose a folder that this user may write to.', {
      cause: error,
    })
  }
}

async function checkPrivateFile(path: string): Promise<void> {
  const facts = await lstat(path)
  if (!facts.isFile()) {
    throw new AditError('permission-unsafe', `${path} is not a regular file.`, `Move what is at ${path} away.`)
  }
  if ((facts.mode & 0o077) !== 0) {
    const mode = (facts.mode & 0o7777).toString(8).padStart(4, '0')
    throw new AditError(
      'permission-unsafe',
      `${path} can be reached by others (mode ${mode}).`,
      `Run: chmod 600 ${shellWord(path)}`,
    )
  }
}
