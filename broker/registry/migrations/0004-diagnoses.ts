import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** What devices say of themselves, the last word of each. */
export const diagnoses: Statements = [
  sql`CREATE TABLE diagnoses (
    principal_id INTEGER PRIMARY KEY REFERENCES principals (id),
    at INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    findings TEXT NOT NULL
  ) STRICT`,
]
