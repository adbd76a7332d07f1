import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** Why a certificate was revoked, what is revoked of an issuer, and orders to devices that are to forget their fleet. */
export const lifecycle: Statements = [
  sql`ALTER TABLE certificates ADD COLUMN revoke_reason TEXT`,
  sql`CREATE INDEX certificates_revoked ON certificates (issuer, revoked_at) WHERE revoked_at IS NOT NULL`,
  sql`CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    kind TEXT NOT NULL CHECK (kind IN ('wipe', 'transfer')),
    identity TEXT NOT NULL,
    reason TEXT NOT NULL,
    next_claim TEXT,
    keep_readings INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    fetched_at INTEGER,
    done_at INTEGER,
    cancelled_at INTEGER,
    evidence BLOB
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX orders_principal ON orders (principal_id)`,
]
