import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** Factory lines: what each may issue, what it has issued, how far its ledger is known, and what does not fit. */
export const stations: Statements = [
  // A claim of role `station`: the column `role` was released with a CHECK that knows none.
  sql`ALTER TABLE claims ADD COLUMN station INTEGER NOT NULL DEFAULT 0`,
  sql`CREATE TABLE delegations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    claim_id TEXT NOT NULL UNIQUE REFERENCES claims (id),
    station TEXT NOT NULL,
    names TEXT NOT NULL,
    stem TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (last >= first),
    quota INTEGER NOT NULL CHECK (quota > 0),
    tags TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    units_revoked INTEGER NOT NULL DEFAULT 0,
    principal_id INTEGER REFERENCES principals (id),
    issuer TEXT UNIQUE,
    ca BLOB,
    head_number INTEGER NOT NULL DEFAULT 0,
    head_hash BLOB,
    synced_at INTEGER
  ) STRICT`,
  sql`CREATE INDEX delegations_stem ON delegations (stem)`,
  // One row a certificate that a station caused, by its own CA or through the broker.
  sql`CREATE TABLE station_units (
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    delegation_id INTEGER NOT NULL REFERENCES delegations (id),
    unit TEXT,
    name TEXT NOT NULL,
    spki TEXT NOT NULL,
    der BLOB NOT NULL,
    principal_id INTEGER REFERENCES principals (id),
    state TEXT NOT NULL CHECK (state IN ('issued', 'delivered', 'scrapped', 'replaced', 'refused')),
    at INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (issuer, serial)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX station_units_unit ON station_units (unit)`,
  sql`CREATE INDEX station_units_delegation ON station_units (delegation_id)`,
  sql`CREATE INDEX station_units_spki ON station_units (spki)`,
  sql`CREATE TABLE station_conflicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    delegation_id INTEGER NOT NULL REFERENCES delegations (id),
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    ours TEXT NOT NULL,
    other TEXT NOT NULL,
    solved_at INTEGER,
    UNIQUE (kind, issuer, serial)
  ) STRICT`,
]
