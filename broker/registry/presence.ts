import { sql } from 'kysely'
import { toHex } from '#shared/bytes/hex.ts'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import type { StoreContext } from './store-context.ts'

export interface EndpointRecord {
  readonly principalId: number
  /** "address:port" or "[address]:port": where its datagrams came from. */
  readonly endpoint: string
  /** Wall-clock ms of the last authentic packet. */
  readonly lastAuthentic: number
  /** Wall-clock ms since when it has been up without a break. */
  readonly upSince: number
  /** In which it was heard. */
  readonly suite: SuiteName
}

export interface TimestampRecord {
  /** 64 hex digits. */
  readonly tunnelKey: string
  /** The last TAI64N taken from it: 12 bytes. */
  readonly timestamp: Uint8Array
}

/** What the gateway must know again after a restart. Every save resolves after its commit; many share one. */
export class PresenceStore {
  readonly #db: StoreContext['db']
  readonly #endpoints: CommitBatcher<readonly EndpointRecord[], void>
  readonly #timestamps: CommitBatcher<readonly TimestampRecord[], void>

  constructor({ db }: Pick<StoreContext, 'db'>) {
    this.#db = db
    this.#endpoints = new CommitBatcher({
      maxWeight: 10_000,
      write: (groups) => this.#writeEndpoints(groups.flat()).then(() => []),
    })
    this.#timestamps = new CommitBatcher({
      maxWeight: 10_000,
      write: (groups) => this.#writeTimestamps(groups.flat()).then(() => []),
    })
  }

  async saveEndpoints(records: readonly EndpointRecord[]): Promise<void> {
    if (records.length > 0) await this.#endpoints.add(records, records.length)
  }

  async loadEndpoints(): Promise<EndpointRecord[]> {
    const rows = await this.#db.selectFrom('endpoints').selectAll().orderBy('principal_id').execute()
    return rows.map((row) => ({
      principalId: row.principal_id,
      endpoint: row.endpoint,
      lastAuthentic: row.last_authentic,
      upSince: row.up_since,
      suite: row.suite,
    }))
  }

  /** A smaller timestamp never replaces a greater one. */
  async saveTimestamps(records: readonly TimestampRecord[]): Promise<void> {
    if (records.length > 0) await this.#timestamps.add(records, records.length)
  }

  async loadTimestamps(): Promise<TimestampRecord[]> {
    const rows = await this.#db.selectFrom('tunnel_timestamps').selectAll().orderBy('tunnel_key').execute()
    return rows.map((row) => ({ tunnelKey: row.tunnel_key, timestamp: Uint8Array.from(row.timestamp) }))
  }

  async drained(): Promise<void> {
    await Promise.all([this.#endpoints.drained(), this.#timestamps.drained()])
  }

  /** One statement for all: its rows travel as one JSON text, which costs the event loop least. */
  async #writeEndpoints(records: readonly EndpointRecord[]): Promise<void> {
    const rows = JSON.stringify(records.map((r) => [r.principalId, r.endpoint, r.lastAuthentic, r.upSince, r.suite]))
    await sql`INSERT INTO endpoints (principal_id, endpoint, last_authentic, up_since, suite)
      SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(${rows}) WHERE true
      ON CONFLICT (principal_id) DO UPDATE SET
        endpoint = excluded.endpoint, last_authentic = excluded.last_authentic, up_since = excluded.up_since,
        suite = excluded.suite`.execute(this.#db)
  }

  async #writeTimestamps(records: readonly TimestampRecord[]): Promise<void> {
    const rows = JSON.stringify(records.map((r) => [r.tunnelKey, toHex(r.timestamp)]))
    await sql`INSERT INTO tunnel_timestamps (tunnel_key, timestamp)
      SELECT value->>0, unhex(value->>1) FROM json_each(${rows}) WHERE true
      ON CONFLICT (tunnel_key) DO UPDATE SET timestamp = excluded.timestamp
      WHERE excluded.timestamp > tunnel_timestamps.timestamp`.execute(this.#db)
  }
}
