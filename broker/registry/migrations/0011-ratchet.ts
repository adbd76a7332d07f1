import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** The ratchet that each device shares with the broker, copies that were found by it, and the lane of expired certificates. */
export const ratchet: Statements = [
  sql`CREATE TABLE ratchets (
    principal_id INTEGER PRIMARY KEY REFERENCES principals (id),
    line TEXT NOT NULL,
    at INTEGER NOT NULL
  ) STRICT`,
  sql`CREATE TABLE clones (
    id INTEGER PRIMARY KEY,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    state TEXT NOT NULL CHECK (state IN ('held', 'granted', 'dismissed', 'ended')),
    spki TEXT NOT NULL,
    ends TEXT NOT NULL,
    board TEXT NOT NULL,
    differing TEXT NOT NULL,
    kept TEXT NOT NULL CHECK (kept IN ('holder', 'newcomer')),
    source TEXT,
    found_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    contacts INTEGER NOT NULL,
    name TEXT,
    claim TEXT
  ) STRICT`,
  sql`CREATE INDEX clones_by_principal ON clones (principal_id)`,
  sql`CREATE TABLE contests (
    principal_id INTEGER PRIMARY KEY REFERENCES principals (id),
    spki TEXT NOT NULL,
    ticket TEXT,
    opened_at INTEGER NOT NULL
  ) STRICT`,
  sql`CREATE TABLE held_keys (
    spki TEXT PRIMARY KEY,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE readmissions (
    principal_id INTEGER PRIMARY KEY REFERENCES principals (id),
    until INTEGER NOT NULL,
    at INTEGER NOT NULL
  ) STRICT`,
  sql`CREATE TABLE lane_returns (
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    expired_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (principal_id, at)
  ) STRICT, WITHOUT ROWID`,
]
