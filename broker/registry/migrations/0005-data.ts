import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** What each principal's data may cost, and what it has cost day by day (days since 1970, UTC; octets at the interface). */
export const data: Statements = [
  sql`ALTER TABLE principals ADD COLUMN data_plan TEXT`,
  sql`CREATE TABLE data_use (
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    day INTEGER NOT NULL,
    received INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (principal_id, day)
  ) STRICT, WITHOUT ROWID`,
]
