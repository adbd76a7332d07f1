import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type DialectAdapter,
  type Driver,
  Kysely,
  type QueryResult,
  SelectQueryNode,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { Database, SqlValue, Transaction } from './sqlite.ts'

/**
 * kysely over `sqlite.ts`: queries outside a transaction go to the readers, everything else to the one writer, a transaction begins
 * with BEGIN IMMEDIATE. The rest of adit speaks to kysely only, so that another engine can stand in this place (DESIGN D12).
 */
export function sqliteDialect(database: Database): Dialect {
  return {
    createAdapter: () => new TransactionalAdapter(),
    createDriver: () => new SqliteDriver(database),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  }
}

/** The query builder over an open database; closing the database is its owner's. */
export const queryBuilder = <Tables>(database: Database): Kysely<Tables> =>
  new Kysely<Tables>({ dialect: sqliteDialect(database) })

/** SQLite rolls schema changes back like any other, so a migration that fails half way leaves nothing. */
class TransactionalAdapter extends SqliteAdapter implements DialectAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

class SqliteDriver implements Driver {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<SqliteConnection> {
    return new SqliteConnection(this.#database)
  }

  async beginTransaction(connection: SqliteConnection): Promise<void> {
    await connection.begin()
  }

  async commitTransaction(connection: SqliteConnection): Promise<void> {
    await connection.commit()
  }

  async rollbackTransaction(connection: SqliteConnection): Promise<void> {
    await connection.rollback()
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}
}

/** What kysely holds while it works: the transaction, or nothing at all. */
class SqliteConnection implements DatabaseConnection {
  readonly #database: Database
  #transaction: Transaction | undefined

  constructor(database: Database) {
    this.#database = database
  }

  async begin(): Promise<void> {
    this.#transaction = await this.#database.begin()
  }

  async commit(): Promise<void> {
    await this.#transaction?.commit()
    this.#transaction = undefined
  }

  async rollback(): Promise<void> {
    await this.#transaction?.rollback()
    this.#transaction = undefined
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const parameters = query.parameters.map(toSqlValue)
    if (this.#transaction) return execute(this.#transaction, query, parameters)
    if (isQuery(query)) return { rows: await this.#database.read<Row>(query.sql, parameters) }
    return this.#database.transaction((session) => execute<Row>(session, query, parameters))
  }

  async *streamQuery<Row>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
    // sqlite3 gives rows all at once; whoever needs many asks in pages.
    yield await this.executeQuery<Row>(query)
  }
}

async function execute<Row>(
  session: Pick<Transaction, 'all' | 'run'>,
  query: CompiledQuery,
  parameters: readonly SqlValue[],
): Promise<QueryResult<Row>> {
  if (isQuery(query) || returnsRows.test(query.sql)) return { rows: await session.all<Row>(query.sql, parameters) }
  const { changes, lastId } = await session.run(query.sql, parameters)
  return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastId) }
}

const returnsRows = /\breturning\b|^\s*pragma\b/i

const isQuery = (query: CompiledQuery): boolean => SelectQueryNode.is(query.query) || /^\s*select\b/i.test(query.sql)

function toSqlValue(value: unknown): SqlValue {
  if (value === undefined || value === null) return null
  if (typeof value === 'number' || typeof value === 'string' || value instanceof Uint8Array) return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'bigint') return Number(value)
  throw new TypeError(`no column holds a ${typeof value}`)
}
