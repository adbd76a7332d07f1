import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** Makers of boards that are believed, and their vouchers for boards of this fleet. */
export const factory: Statements = [
  sql`CREATE TABLE factories (
    fingerprint TEXT PRIMARY KEY,
    der BLOB NOT NULL,
    added_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE vouchers (
    factory TEXT NOT NULL,
    serial TEXT NOT NULL,
    created_on INTEGER NOT NULL,
    expires_on INTEGER,
    digest TEXT NOT NULL,
    cms BLOB NOT NULL,
    name TEXT,
    counter INTEGER NOT NULL,
    tags TEXT NOT NULL,
    imported_at INTEGER NOT NULL,
    leave INTEGER NOT NULL,
    principal_id INTEGER REFERENCES principals (id),
    PRIMARY KEY (factory, serial)
  ) STRICT`,
  sql`CREATE INDEX vouchers_name ON vouchers (name, counter)`,
  sql`CREATE INDEX vouchers_serial ON vouchers (serial)`,
]
