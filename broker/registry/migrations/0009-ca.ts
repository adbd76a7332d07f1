import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** Which roots each agent trusts, as it says itself: SHA-256 in hex, sorted, with commas between. */
export const ca: Statements = [
  sql`CREATE TABLE trusted_roots (
    principal_id INTEGER PRIMARY KEY REFERENCES principals (id),
    roots TEXT NOT NULL,
    at INTEGER NOT NULL
  ) STRICT`,
]
