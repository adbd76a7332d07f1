import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** By which lane an expired device came back, and the certificates that were given in a lane that is open once. */
export const lanes: Statements = [
  sql`ALTER TABLE lane_returns ADD COLUMN lane TEXT NOT NULL DEFAULT 'renewal'`,
  sql`CREATE TABLE lane_renewals (
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    lane TEXT NOT NULL,
    from_issuer TEXT NOT NULL,
    from_serial TEXT NOT NULL,
    at INTEGER NOT NULL,
    shown_at INTEGER,
    PRIMARY KEY (issuer, serial)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX lane_renewals_principal ON lane_renewals (principal_id)`,
]
