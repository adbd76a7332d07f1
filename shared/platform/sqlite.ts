export type SqlValue = number | string | Uint8Array | null

export interface RunResult {
  /** Rows changed. */
  readonly changes: number
  /** ROWID of the last inserted row. */
  readonly lastId: number
}

/** One handle; inside `Database.transaction`, the transaction. */
export interface Session {
  all<Row>(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]>
  run(sql: string, parameters?: readonly SqlValue[]): Promise<RunResult>
}

export interface DatabaseOptions {
  /** Reader handles at most, opened when needed; 2 unless said otherwise. */
  readers?: number
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
  /** One statement as a transaction of its own. */
  write(sql: string, parameters?: readonly SqlValue[]): Promise<RunResult>
  close(): Promise<void>
}

/** Throws AditError storage-too-old | permission-unsafe | disk-full | storage-failed. */
export declare function openDatabase(path: string, options?: DatabaseOptions): Promise<Database>
