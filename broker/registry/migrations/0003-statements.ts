import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** What the administrator's key has signed, one statement a subject. */
export const statements: Statements = [
  sql`CREATE TABLE statements (
    subject TEXT PRIMARY KEY,
    signer TEXT NOT NULL,
    version INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    bytes BLOB NOT NULL
  ) STRICT, WITHOUT ROWID`,
]
