import type { Selectable } from 'kysely'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'
import type { AuditTableRow } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

export interface AuditEntry {
  /** Who did it: `operator:ann`, `device:pi-7`, `admin:root` (the command line), `broker`. */
  readonly actor: string
  /** `session.open`, `flow.refused`, `claim.create`, … */
  readonly action: string
  /** What it was done to: `device:pi-7`, `claim:0123…`. */
  readonly subject: string
  readonly detail?: Readonly<Record<string, unknown>>
  /** The device concerned, so that its grants decide who may read the row. */
  readonly deviceId?: number
}

export interface AuditRow extends AuditEntry {
  readonly id: number
  /** Wall-clock ms. */
  readonly at: number
}

export interface AuditQuery {
  /** Rows after this id. */
  after?: number
  /** 100 unless said otherwise, 1,000 at most. */
  limit?: number
  /** Only rows about these devices, or by `actor`. */
  visibleTo?: { deviceIds: readonly number[]; actor: string }
  /** The last `limit` rows instead of the first after `after`; still in ascending order. */
  newest?: boolean
}

const defaultLimit = 100
const mostRows = 1_000
/** Device ids in one query at most: SQLite takes 32,766 parameters. */
const mostDevices = 30_000

/** Append only: the database itself refuses to change or delete a row. */
export class AuditLog {
  readonly #context: StoreContext
  readonly #batcher: CommitBatcher<AuditEntry & { at: number }, void>

  constructor(context: StoreContext) {
    this.#context = context
    this.#batcher = new CommitBatcher({
      maxWeight: 1_000,
      write: async (entries) => {
        await context.db.transaction().execute(async (transaction) => {
          for (const entry of entries) await writeAudit(transaction, entry.at, entry)
        })
        return entries.map(() => undefined)
      },
    })
  }

  /** Resolves after the commit (many appends share one). Who cannot wait need not: failures are also logged. */
  async append(entry: AuditEntry): Promise<void> {
    try {
      await this.#batcher.add({ ...entry, at: this.#context.clock.wall() })
    } catch (error) {
      this.#context.log.error({ entry, error }, 'an audit row could not be written')
      throw error
    }
  }

  async query({ after = 0, limit = defaultLimit, visibleTo, newest = false }: AuditQuery = {}): Promise<AuditRow[]> {
    let rows = this.#context.db
      .selectFrom('audit')
      .selectAll()
      .where('id', '>', after)
      .orderBy('id', newest ? 'desc' : 'asc')
      .limit(Math.min(Math.max(Math.trunc(limit), 1), mostRows))
    if (visibleTo) {
      const deviceIds = visibleTo.deviceIds.slice(0, mostDevices)
      rows = rows.where((expression) =>
        expression.or([expression('actor', '=', visibleTo.actor), expression('device_id', 'in', deviceIds)]),
      )
    }
    const found = (await rows.execute()).map(toAuditRow)
    return newest ? found.reverse() : found
  }

  /** Resolves when every append so far is on disk. */
  drained(): Promise<void> {
    return this.#batcher.drained()
  }
}

/** Rows within the transaction that does what they tell of. */
export async function writeAudit(transaction: WriteTransaction, at: number, ...entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return
  const rows = entries.map(({ actor, action, subject, detail, deviceId = null }) => ({
    ...{ at, actor, action, subject, device_id: deviceId },
    detail: detail === undefined ? null : JSON.stringify(detail),
  }))
  await transaction.insertInto('audit').values(rows).execute()
}

const toAuditRow = (row: Selectable<AuditTableRow>): AuditRow => ({
  id: row.id,
  at: row.at,
  actor: row.actor,
  action: row.action,
  subject: row.subject,
  ...(row.detail === null ? {} : { detail: JSON.parse(row.detail) as Record<string, unknown> }),
  ...(row.device_id === null ? {} : { deviceId: row.device_id }),
})
