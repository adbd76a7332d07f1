import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** Stock IPsec peers, the networks behind peers, grants between sites, and negotiations that came to nothing. */
export const ipsec: Statements = [
  sql`CREATE TABLE ipsec_peers (
    principal_id INTEGER PRIMARY KEY REFERENCES principals (id),
    identity TEXT NOT NULL,
    psk_key TEXT UNIQUE,
    psk BLOB,
    ppk_id TEXT,
    ppk BLOB,
    ike_proposals TEXT NOT NULL,
    esp_proposals TEXT NOT NULL
  ) STRICT`,
  sql`CREATE TABLE subnets (
    principal_id INTEGER NOT NULL REFERENCES principals (id), cidr TEXT NOT NULL, PRIMARY KEY (principal_id, cidr)
  ) STRICT, WITHOUT ROWID`,
  sql`ALTER TABLE grants ADD COLUMN sources TEXT NOT NULL DEFAULT '[]'`,
  sql`ALTER TABLE grants ADD COLUMN sites TEXT NOT NULL DEFAULT '[]'`,
  sql`CREATE TABLE negotiations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    principal_id INTEGER REFERENCES principals (id),
    source TEXT,
    times INTEGER NOT NULL,
    failure TEXT NOT NULL
  ) STRICT`,
  sql`CREATE INDEX negotiations_principal ON negotiations (principal_id, id)`,
  sql`ALTER TABLE endpoints ADD COLUMN suite TEXT NOT NULL DEFAULT 'noise'`,
]
