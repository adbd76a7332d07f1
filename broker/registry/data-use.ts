import { sql } from 'kysely'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'
import { days, minutes, type WallTime } from '#shared/time/instant.ts'
import type { StoreContext } from './store-context.ts'

/** Written so often; a broker that is killed loses no more than this. */
const writeEvery = minutes(5)
/** Days that are kept: this month and the one before, whole. */
const keptDays = 62
const day = days(1)

/** What a principal's tunnel has cost: octets at the interface, with IP and UDP headers, both directions. */
export interface DataUse {
  readonly todayBytes: number
  /** Since the first of the month (UTC). */
  readonly monthBytes: number
  /** At the month's rate so far, in 30 days; undefined before an hour has been counted. */
  readonly projectedMonthBytes: number | undefined
  /** How many of the month's are estimates: what streams carried. */
  readonly estimatedBytes: number
}

export interface Counted {
  readonly principalId: number
  readonly received: number
  readonly sent: number
  readonly estimated: number
}

interface Account {
  /** Days since 1970 (UTC). */
  day: number
  today: { received: number; sent: number; estimated: number }
  /** This month's days before today. */
  earlier: { octets: number; estimated: number }
  /** Since when this month has been counted, wall-clock ms. */
  since: number
  written: boolean
}

type Row = [principalId: number, day: number, received: number, sent: number, estimated: number]

/** What each principal's data has cost, day by day (DESIGN D7). Counted in memory, written each five minutes. */
export class DataUseStore {
  readonly #context: Pick<StoreContext, 'db' | 'clock'>
  readonly #accounts = new Map<number, Account>()
  readonly #batch: CommitBatcher<readonly Row[], void>
  #writtenAt = 0

  private constructor(context: Pick<StoreContext, 'db' | 'clock'>) {
    this.#context = context
    this.#batch = new CommitBatcher({ maxWeight: 10_000, write: (groups) => this.#write(groups.flat()).then(() => []) })
  }

  static async load(context: Pick<StoreContext, 'db' | 'clock'>): Promise<DataUseStore> {
    const store = new DataUseStore(context)
    const now = context.clock.wall()
    const today = Math.floor(now / day)
    const rows = await context.db.selectFrom('data_use').selectAll().where('day', '>=', monthStart(now)).orderBy('day').execute()
    for (const { principal_id: id, day: at, received, sent, estimated } of rows) {
      const account = store.#accounts.get(id) ?? newAccount(today, at * day)
      store.#accounts.set(id, account)
      if (at === today) account.today = { received, sent, estimated }
      else {
        account.earlier.octets += received + sent
        account.earlier.estimated += estimated
      }
    }
    return store
  }

  /** What has been counted since the last call. Writes when it is time to. */
  count(counted: Iterable<Counted>): void {
    const now = this.#context.clock.wall()
    const today = Math.floor(now / day)
    for (const { principalId, received, sent, estimated } of counted) {
      const account = this.#accounts.get(principalId) ?? newAccount(today, now)
      this.#accounts.set(principalId, account)
      this.#turnDay(principalId, account, today, now)
      account.today.received += received
      account.today.sent += sent
      account.today.estimated += estimated
      account.written = false
    }
    if (now - this.#writtenAt >= writeEvery || now < this.#writtenAt) void this.flush().catch(() => undefined)
  }

  of(principalId: number): DataUse | undefined {
    const account = this.#accounts.get(principalId)
    if (account === undefined) return undefined
    const now = this.#context.clock.wall()
    this.#turnDay(principalId, account, Math.floor(now / day), now)
    const todayBytes = account.today.received + account.today.sent
    const monthBytes = account.earlier.octets + todayBytes
    const counted = now - account.since
    return {
      todayBytes,
      monthBytes,
      projectedMonthBytes: counted < 3_600_000 ? undefined : Math.round((monthBytes / counted) * 30 * day),
      estimatedBytes: account.earlier.estimated + account.today.estimated,
    }
  }

  /** Resolves when all that was counted is on disk. */
  async flush(): Promise<void> {
    this.#writtenAt = this.#context.clock.wall()
    const rows: Row[] = []
    for (const [id, account] of this.#accounts) {
      if (account.written) continue
      account.written = true
      rows.push(rowOf(id, account))
    }
    if (rows.length > 0) await this.#batch.add(rows, rows.length)
    await this.#batch.drained()
  }

  /** Yesterday is written as it stood; a new month begins with nothing. */
  #turnDay(principalId: number, account: Account, today: number, now: WallTime): void {
    if (account.day === today) return
    if (!account.written) void this.#batch.add([rowOf(principalId, account)], 1).catch(() => undefined)
    const start = monthStart(now)
    if (account.day < start) {
      account.earlier = { octets: 0, estimated: 0 }
      account.since = start * day
    } else {
      account.earlier.octets += account.today.received + account.today.sent
      account.earlier.estimated += account.today.estimated
    }
    account.today = { received: 0, sent: 0, estimated: 0 }
    account.day = today
    account.written = true
  }

  async #write(rows: readonly Row[]): Promise<void> {
    const { db, clock } = this.#context
    await sql`INSERT INTO data_use (principal_id, day, received, sent, estimated)
      SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(${JSON.stringify(rows)}) WHERE true
      ON CONFLICT (principal_id, day) DO UPDATE SET
        received = excluded.received, sent = excluded.sent, estimated = excluded.estimated`.execute(db)
    await db
      .deleteFrom('data_use')
      .where('day', '<', Math.floor(clock.wall() / day) - keptDays)
      .execute()
  }
}

const newAccount = (today: number, since: number): Account => ({
  day: today,
  today: { received: 0, sent: 0, estimated: 0 },
  earlier: { octets: 0, estimated: 0 },
  since,
  written: true,
})

const rowOf = (id: number, { day: at, today: { received, sent, estimated } }: Account): Row => [id, at, received, sent, estimated]

/** The first of the month of that moment, in days since 1970. */
function monthStart(now: number): number {
  const date = new Date(now)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1) / day
}
