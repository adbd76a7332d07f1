import sqlite3 from 'sqlite3'
import type { RunResult, SqlValue } from './sqlite.ts'

/** Statements kept prepared per handle; preparing costs more than running for most of ours. */
const preparedLimit = 256

/**
 * One connection of the sqlite3 package as promises. Statements run on libuv's pool, one after the other in the order of the calls;
 * a prepared statement is kept for the next call of the same text. Errors are sqlite3's own: `sqlite.ts` gives them their sentences.
 */
export class SqliteHandle {
  readonly #database: sqlite3.Database
  readonly #prepared = new Map<string, Promise<sqlite3.Statement>>()
  #pending = 0

  private constructor(database: sqlite3.Database) {
    this.#database = database
  }

  static open(path: string, mode: 'write' | 'read'): Promise<SqliteHandle> {
    const flags = mode === 'write' ? sqlite3.OPEN_READWRITE : sqlite3.OPEN_READONLY
    return new Promise((resolve, reject) => {
      const database: sqlite3.Database = new sqlite3.Database(path, flags | sqlite3.OPEN_FULLMUTEX, (error) => {
        if (error) return reject(error)
        database.serialize()
        resolve(new SqliteHandle(database))
      })
    })
  }

  /** Calls that have not come back: the least busy handle takes the next query. */
  get pending(): number {
    return this.#pending
  }

  /** Rows of a query, or of a change with RETURNING. */
  all<Row>(sql: string, parameters: readonly SqlValue[] = []): Promise<Row[]> {
    return this.#with(
      sql,
      (statement) =>
        new Promise<Row[]>((resolve, reject) => {
          statement.all<Row>(parameters, (error, rows) => (error ? reject(error) : resolve(rows)))
        }),
    )
  }

  /** A change that returns no rows. (One that does must go through `all`: `run` would leave its statement, and its lock, open.) */
  run(sql: string, parameters: readonly SqlValue[] = []): Promise<RunResult> {
    return this.#with(
      sql,
      (statement) =>
        new Promise<RunResult>((resolve, reject) => {
          statement.run(parameters, function (error) {
            if (error) reject(error)
            else resolve({ changes: this.changes, lastId: this.lastID })
          })
        }),
    )
  }

  async close(): Promise<void> {
    const statements = await Promise.allSettled(this.#prepared.values())
    this.#prepared.clear()
    await Promise.all(statements.map((prepared) => (prepared.status === 'fulfilled' ? finalize(prepared.value) : undefined)))
    await new Promise<void>((resolve, reject) => this.#database.close((error) => (error ? reject(error) : resolve())))
  }

  async #with<Result>(sql: string, use: (statement: sqlite3.Statement) => Promise<Result>): Promise<Result> {
    this.#pending += 1
    try {
      return await use(await this.#prepare(sql))
    } finally {
      this.#pending -= 1
    }
  }

  #prepare(sql: string): Promise<sqlite3.Statement> {
    const kept = this.#prepared.get(sql)
    if (kept) {
      // Moved to the end: the front is what was used longest ago.
      this.#prepared.delete(sql)
      this.#prepared.set(sql, kept)
      return kept
    }
    const fresh = new Promise<sqlite3.Statement>((resolve, reject) => {
      const statement: sqlite3.Statement = this.#database.prepare(sql, (error: Error | null) =>
        error ? reject(error) : resolve(statement),
      )
    })
    this.#prepared.set(sql, fresh)
    fresh.catch(() => this.#prepared.delete(sql))
    this.#evict()
    return fresh
  }

  /** A statement that was handed out and evicted before its call is queued would fail; the oldest of so many is long past that. */
  #evict(): void {
    if (this.#prepared.size <= preparedLimit || this.#pending > preparedLimit) return
    for (const [sql, oldest] of this.#prepared) {
      this.#prepared.delete(sql)
      void oldest.then(finalize, () => undefined)
      return
    }
  }
}

const finalize = (statement: sqlite3.Statement): Promise<void> => new Promise((resolve) => statement.finalize(() => resolve()))
