import type { IdentityKey } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { LineAccount, type UnitAccount } from '#shared/enrolment/line-account.ts'
import {
  damaged,
  decodeEntry,
  encodeEntry,
  firstHead,
  type LedgerEntry,
  type LedgerHead,
  nextHead,
  sealHead,
} from '#shared/enrolment/station-ledger.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'
import { type Database, openDatabase, type Session } from '#shared/platform/sqlite.ts'
import type { Clock } from '#shared/time/instant.ts'

/** What one decision writes: all of it or nothing, on disk before its result is given. */
export interface Change<Result> {
  readonly entries?: readonly LedgerEntry[]
  /** Secrets of an undelivered unit that are to be kept, and those that are no longer to be had. */
  readonly keep?: { readonly unit: string; readonly secret: Uint8Array }
  readonly forget?: string
  /** Asked once its entries are in the account. */
  result(): Result
}

/** What a decision sees: everything that is on disk, and what was decided before it in the same group. */
export interface Sight {
  readonly account: LineAccount
  /** Wall-clock ms. */
  readonly now: number
  secretOf(unit: string): Uint8Array | undefined
}

type Decide<Result> = (sight: Sight) => Change<Result>

export interface StoredEntry {
  readonly number: number
  readonly body: Uint8Array
  readonly hash: Uint8Array
}

const schema = [
  `CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT`,
  `CREATE TABLE IF NOT EXISTS seal (number INTEGER PRIMARY KEY, signature BLOB NOT NULL) STRICT`,
  `CREATE TABLE IF NOT EXISTS secret (unit TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS synced (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, at INTEGER NOT NULL) STRICT`,
]

/** Decisions in one group at most. */
const groupLimit = 64

export interface LedgerPorts {
  readonly suite: Suite
  readonly clock: Clock
  /** The station's: it seals. */
  readonly identity: IdentityKey
}

/**
 * The ledger on disk: entries that are only ever added, each group of them under a seal of its own, in one transaction with the secrets
 * of the units that they tell of. Several processes of one station may have it open: a group begins with what others have added.
 */
export class LedgerStore {
  readonly #database: Database
  readonly #ports: LedgerPorts
  readonly #batcher: CommitBatcher<Decide<unknown>, Outcome>
  /** Number of the last entry of each unit. */
  #lastOf = new Map<string, number>()
  #account = new LineAccount()
  #head: LedgerHead
  #secrets = new Map<string, Uint8Array>()
  /** What the file's version was when it was read last. */
  #version: number | undefined
  #synced = 0

  private constructor(database: Database, ports: LedgerPorts) {
    this.#database = database
    this.#ports = ports
    this.#head = this.#first()
    this.#batcher = new CommitBatcher({ maxWeight: groupLimit, write: (group) => this.#write(group) })
  }

  /** Throws AditError as `openDatabase` does, or `ledger-damaged`. */
  static async open(path: string, ports: LedgerPorts): Promise<LedgerStore> {
    const database = await openDatabase(path, { readers: 1, cacheKib: 4_000 })
    try {
      await database.transaction(async (session) => {
        for (const statement of schema) await session.run(statement)
        // What a delivered unit's keys were must not stay in free pages.
        await session.all('PRAGMA secure_delete=ON')
      })
      const store = new LedgerStore(database, ports)
      await store.change(() => ({ result: () => undefined }))
      return store
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /** As it was last read, a commit under way included: for what is only shown. */
  peek(unit: string): UnitAccount | undefined {
    return this.#account.unit(unit)
  }

  get head(): LedgerHead {
    return this.#head
  }

  /** Entries that the broker has taken. */
  get synced(): number {
    return this.#synced
  }

  /** Units of which the broker does not know everything yet. */
  get unsyncedUnits(): number {
    let count = 0
    for (const number of this.#lastOf.values()) if (number > this.#synced) count += 1
    return count
  }

  /** Resolves with the decision's result when what it writes is on disk; rejects with what it throws, and nothing is written then. */
  async change<Result>(decide: Decide<Result>): Promise<Result> {
    const outcome = await this.#batcher.add(decide)
    if ('error' in outcome) throw outcome.error
    return outcome.result as Result
  }

  /** In their order, from the one behind `after` on. */
  async entries(after: number, limit: number): Promise<StoredEntry[]> {
    const sql = 'SELECT number, body, hash FROM entry WHERE number > ? ORDER BY number LIMIT ?'
    const rows = await this.#database.read<{ number: number; body: Uint8Array; hash: Uint8Array }>(sql, [after, limit])
    return rows.map(({ number, body, hash }) => ({ number, body: Uint8Array.from(body), hash: Uint8Array.from(hash) }))
  }

  async seals(): Promise<{ number: number; signature: Uint8Array }[]> {
    const rows = await this.#database.read<{ number: number; signature: Uint8Array }>(
      'SELECT number, signature FROM seal ORDER BY number',
    )
    return rows.map(({ number, signature }) => ({ number, signature: Uint8Array.from(signature) }))
  }

  /** Units whose secrets are here. */
  async secretUnits(): Promise<string[]> {
    return (await this.#database.read<{ unit: string }>('SELECT unit FROM secret')).map(({ unit }) => unit)
  }

  async markSynced(number: number): Promise<void> {
    const sql =
      'INSERT INTO synced (id, number, at) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET number = max(number, ?1), at = ?2'
    await this.#database.write(sql, [number, this.#ports.clock.wall()])
    this.#synced = Math.max(this.#synced, number)
  }

  async close(): Promise<void> {
    await this.#batcher.drained()
    await this.#database.close()
  }

  #first(): LedgerHead {
    return firstHead(p256Spki(this.#ports.identity.publicKey), this.#ports.suite)
  }

  async #write(group: readonly Decide<unknown>[]): Promise<Outcome[]> {
    try {
      return await this.#database.transaction(async (session) => {
        await this.#catchUp(session)
        const before = this.#head.number
        const outcomes: Outcome[] = []
        for (const decide of group) outcomes.push(await this.#carryOut(session, decide))
        if (this.#head.number > before) {
          const signature = sealHead(this.#head, this.#ports.identity, this.#ports.suite)
          await session.run('INSERT INTO seal (number, signature) VALUES (?, ?)', [this.#head.number, signature])
        }
        return outcomes
      })
    } catch (error) {
      // What was decided is not on disk: the next group reads everything anew.
      this.#forgetAll()
      throw error
    }
  }

  async #carryOut(session: Session, decide: Decide<unknown>): Promise<Outcome> {
    let change: Change<unknown>
    try {
      change = decide(this.#sight())
    } catch (error) {
      return { error }
    }
    for (const entry of change.entries ?? []) {
      const body = encodeEntry(entry)
      this.#take(entry, nextHead(this.#head, body, this.#ports.suite))
      await session.run('INSERT INTO entry (number, body, hash) VALUES (?, ?, ?)', [this.#head.number, body, this.#head.hash])
    }
    if (change.keep) {
      const { unit, secret } = change.keep
      await session.run('INSERT OR REPLACE INTO secret (unit, value) VALUES (?, ?)', [unit, secret])
      this.#secrets.set(unit, secret)
    }
    if (change.forget !== undefined && this.#secrets.delete(change.forget))
      await session.run('DELETE FROM secret WHERE unit = ?', [change.forget])
    return { result: change.result() }
  }

  #sight(): Sight {
    return { account: this.#account, now: this.#ports.clock.wall(), secretOf: (unit) => this.#secrets.get(unit) }
  }

  /** What other processes have added, or everything. Hashes are `verify`'s to prove; here each entry must follow from those before. */
  async #catchUp(session: Session): Promise<void> {
    // Of the file, and another one once another connection has changed it.
    const [now] = await session.all<{ data_version: number }>('PRAGMA data_version')
    if (now?.data_version === this.#version) return
    this.#version = now?.data_version
    const { number } = this.#head
    const rows = await session.all<{ number: number; body: Uint8Array; hash: Uint8Array }>(
      'SELECT number, body, hash FROM entry WHERE number > ? ORDER BY number',
      [number],
    )
    for (const row of rows) {
      if (row.number !== this.#head.number + 1) throw damaged(`entry ${this.#head.number + 1} is missing`)
      this.#take(decodeEntry(Uint8Array.from(row.body)), { number: row.number, hash: Uint8Array.from(row.hash) })
    }
    const secrets = await session.all<{ unit: string; value: Uint8Array }>('SELECT unit, value FROM secret')
    this.#secrets = new Map(secrets.map(({ unit, value }) => [unit, Uint8Array.from(value)]))
    const [synced] = await session.all<{ number: number }>('SELECT number FROM synced')
    this.#synced = synced?.number ?? 0
  }

  #take(entry: LedgerEntry, head: LedgerHead): void {
    this.#account.add(entry)
    this.#head = head
    if ('unit' in entry) this.#lastOf.set(entry.unit, head.number)
  }

  #forgetAll(): void {
    this.#account = new LineAccount()
    this.#head = this.#first()
    this.#secrets = new Map()
    this.#lastOf = new Map()
    this.#version = undefined
  }
}

type Outcome = { readonly result: unknown } | { readonly error: unknown }
