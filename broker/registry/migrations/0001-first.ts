import { sql } from 'kysely'
import type { Statements } from './migrate.ts'

/** Tables that share nothing with telemetry keep foreign keys; readings do without, since principals are revoked, never deleted. */
export const first: Statements = [
  sql`CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE principals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('device', 'operator', 'station')),
    name TEXT NOT NULL,
    admin INTEGER NOT NULL,
    stock INTEGER NOT NULL,
    inner6 TEXT NOT NULL UNIQUE,
    inner4 INTEGER UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
  ) STRICT`,
  sql`CREATE UNIQUE INDEX principals_live_name ON principals (kind, name) WHERE revoked_at IS NULL`,
  sql`CREATE TABLE keys (
    kind TEXT NOT NULL CHECK (kind IN ('identity', 'tunnel')),
    value TEXT NOT NULL,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    created_at INTEGER NOT NULL,
    retired_at INTEGER,
    PRIMARY KEY (kind, value)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX keys_principal ON keys (principal_id)`,
  sql`CREATE TABLE tags (
    principal_id INTEGER NOT NULL REFERENCES principals (id), tag TEXT NOT NULL, PRIMARY KEY (principal_id, tag)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE groups (
    principal_id INTEGER NOT NULL REFERENCES principals (id), name TEXT NOT NULL, PRIMARY KEY (principal_id, name)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE claims (
    id TEXT PRIMARY KEY,
    secret_hash BLOB NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('device', 'operator')),
    name TEXT,
    counter INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL CHECK (used BETWEEN 0 AND uses),
    tags TEXT NOT NULL,
    groups TEXT NOT NULL,
    admin INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE claim_uses (
    claim_id TEXT NOT NULL REFERENCES claims (id),
    spki TEXT NOT NULL,
    tunnel_key TEXT,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    at INTEGER NOT NULL,
    PRIMARY KEY (claim_id, spki)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE certificates (
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    principal_id INTEGER NOT NULL REFERENCES principals (id),
    spki TEXT NOT NULL,
    der BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    claim_id TEXT REFERENCES claims (id),
    revoked_at INTEGER,
    PRIMARY KEY (issuer, serial)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX certificates_principal ON certificates (principal_id)`,
  sql`CREATE UNIQUE INDEX certificates_claim ON certificates (claim_id, spki) WHERE claim_id IS NOT NULL`,
  sql`CREATE TABLE grants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    operators TEXT NOT NULL,
    groups TEXT NOT NULL,
    tags TEXT NOT NULL,
    devices TEXT NOT NULL,
    ports TEXT NOT NULL,
    until INTEGER,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) STRICT`,
  sql`CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT,
    device_id INTEGER REFERENCES principals (id)
  ) STRICT`,
  sql`CREATE INDEX audit_device ON audit (device_id, id) WHERE device_id IS NOT NULL`,
  sql`CREATE INDEX audit_actor ON audit (actor, id)`,
  sql`CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END`,
  sql`CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END`,
  sql`CREATE TABLE host_keys (
    device_id INTEGER NOT NULL REFERENCES principals (id),
    service TEXT NOT NULL,
    keys TEXT NOT NULL,
    pinned_at INTEGER NOT NULL,
    offered TEXT,
    offered_at INTEGER,
    PRIMARY KEY (device_id, service)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE endpoints (
    principal_id INTEGER PRIMARY KEY REFERENCES principals (id),
    endpoint TEXT NOT NULL,
    last_authentic INTEGER NOT NULL,
    up_since INTEGER NOT NULL
  ) STRICT`,
  sql`CREATE TABLE tunnel_timestamps (tunnel_key TEXT PRIMARY KEY, timestamp BLOB NOT NULL) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE telemetry (
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    name TEXT NOT NULL,
    unit TEXT,
    at INTEGER NOT NULL,
    quality INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (device, boot, seq)
  ) STRICT, WITHOUT ROWID`,
  sql`CREATE TABLE arrivals (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    received_at INTEGER NOT NULL
  ) STRICT`,
  sql`CREATE INDEX arrivals_device ON arrivals (device, id)`,
]
