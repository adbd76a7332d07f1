import type { Selectable } from 'kysely'
import { AditError } from '#shared/errors.ts'
import type { HostKeyRow } from './schema.ts'
import type { StoreContext } from './store-context.ts'

export interface HostKeys {
  readonly service: string
  /** OpenSSH public key lines, as pinned. */
  readonly keys: readonly string[]
  readonly pinnedAt: number
  /** What the device last reported instead, awaiting a person's word. */
  readonly offered?: { readonly keys: readonly string[]; readonly at: number }
}

/** The SSH host keys that devices report, pinned at the first report. */
export class HostKeyStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** The first report is pinned; a report of pinned keys only is the same; any unknown key is a change, kept aside until accepted. */
  report(deviceId: number, service: string, keys: readonly string[]): Promise<'pinned' | 'same' | 'changed'> {
    const { db, clock } = this.#context
    return db.transaction().execute(async (transaction) => {
      const row = await transaction
        .selectFrom('host_keys')
        .selectAll()
        .where('device_id', '=', deviceId)
        .where('service', '=', service)
        .executeTakeFirst()
      const reported = [...new Set(keys)].sort()
      if (!row) {
        const first = { device_id: deviceId, service, keys: JSON.stringify(reported), pinned_at: clock.wall() }
        await transaction
          .insertInto('host_keys')
          .values({ ...first, offered: null, offered_at: null })
          .execute()
        return 'pinned'
      }
      const pinned = toHostKeys(row)
      const same = reported.every((key) => pinned.keys.includes(key))
      // A device that shows its pinned keys again has no other ones to accept.
      const offered = same ? null : JSON.stringify(reported)
      if (offered !== row.offered) {
        await transaction
          .updateTable('host_keys')
          .set({ offered, offered_at: same ? null : clock.wall() })
          .where('device_id', '=', deviceId)
          .where('service', '=', service)
          .execute()
      }
      return same ? 'same' : 'changed'
    })
  }

  async of(deviceId: number): Promise<HostKeys[]> {
    const { db } = this.#context
    const rows = await db.selectFrom('host_keys').selectAll().where('device_id', '=', deviceId).orderBy('service').execute()
    return rows.map(toHostKeys)
  }

  /** Of every device that has reported any, by row number. */
  async all(): Promise<Map<number, HostKeys[]>> {
    const byDevice = new Map<number, HostKeys[]>()
    for (const row of await this.#context.db
      .selectFrom('host_keys')
      .selectAll()
      .orderBy('device_id')
      .orderBy('service')
      .execute())
      byDevice.set(row.device_id, [...(byDevice.get(row.device_id) ?? []), toHostKeys(row)])
    return byDevice
  }

  /** Pins what was offered, of every service unless one is named. Throws AditError `not-found` where nothing was offered. */
  async accept(deviceId: number, service?: string): Promise<HostKeys[]> {
    const { db, clock } = this.#context
    const accepted = await db.transaction().execute(async (transaction) => {
      let offers = transaction
        .updateTable('host_keys')
        .set((expression) => ({
          keys: expression.ref('offered').$notNull(),
          pinned_at: clock.wall(),
          offered: null,
          offered_at: null,
        }))
        .where('device_id', '=', deviceId)
        .where('offered', 'is not', null)
      if (service !== undefined) offers = offers.where('service', '=', service)
      return offers.returningAll().execute()
    })
    if (accepted.length === 0) {
      throw new AditError(
        'not-found',
        'The device has reported no other host key than the pinned one.',
        'Nothing needs accepting.',
      )
    }
    return accepted.map(toHostKeys)
  }
}

const toHostKeys = (row: Selectable<HostKeyRow>): HostKeys => ({
  service: row.service,
  keys: JSON.parse(row.keys) as string[],
  pinnedAt: row.pinned_at,
  ...(row.offered === null ? {} : { offered: { keys: JSON.parse(row.offered) as string[], at: row.offered_at ?? 0 } }),
})
