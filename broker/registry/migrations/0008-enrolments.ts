import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/**
 * Rights to enrol of every kind, not of claims alone: what was bound to a claim's id is bound to a right's (`claim:0123…`). Requests
 * that wait for a person. What a claim may further ask for: a person's yes, serial numbers out of a list, a pace.
 */
export const enrolments: Statements = [
  sql`CREATE TABLE right_uses (
    right_id TEXT NOT NULL,
    spki TEXT NOT NULL,
    tunnel_key TEXT,
    serial TEXT,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    at INTEGER NOT NULL,
    PRIMARY KEY (right_id, spki)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX right_uses_at ON right_uses (right_id, at)`,
  sql`INSERT INTO right_uses SELECT 'claim:' || claim_id, spki, tunnel_key, NULL, principal_id, at FROM claim_uses`,
  sql`DROP TABLE claim_uses`,
  sql`CREATE TABLE certificates_of_rights (
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    spki TEXT NOT NULL,
    der BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    right_id TEXT,
    revoked_at INTEGER,
    PRIMARY KEY (issuer, serial)
  ) STRICT, WITHOUT ROWID`,
  sql`INSERT INTO certificates_of_rights SELECT issuer, serial, principal_id, spki, der, not_before, not_after, recorded_at,
    'claim:' || claim_id, revoked_at FROM certificates`,
  sql`DROP TABLE certificates`,
  sql`ALTER TABLE certificates_of_rights RENAME TO certificates`,
  sql`CREATE INDEX certificates_principal ON certificates (principal_id)`,
  sql`CREATE UNIQUE INDEX certificates_right ON certificates (right_id, spki) WHERE right_id IS NOT NULL`,
  sql`ALTER TABLE claims ADD COLUMN approval INTEGER NOT NULL DEFAULT 0`,
  sql`ALTER TABLE claims ADD COLUMN serials TEXT`,
  sql`ALTER TABLE claims ADD COLUMN rate TEXT`,
  sql`CREATE TABLE enrolments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    right_id TEXT NOT NULL,
    spki TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT,
    serial TEXT,
    tags TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'denied', 'enrolled')),
    wish TEXT,
    reason TEXT,
    asked_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    UNIQUE (right_id, spki)
  ) STRICT`,
  sql`CREATE INDEX enrolments_state ON enrolments (state, asked_at)`,
]
