import type { Selectable } from 'kysely'
import { AditError } from '#shared/errors.ts'
import { writeAudit } from './audit-log.ts'
import type { Principal } from './principal.ts'
import type { StoreContext } from './store-context.ts'

/** A row of `orders`. */
export interface OrderRow {
  id: string
  principal_id: number
  kind: 'wipe' | 'transfer'
  identity: string
  reason: string
  next_claim: string | null
  /** 0 or 1. */
  keep_readings: number
  created_at: number
  created_by: string
  fetched_at: number | null
  done_at: number | null
  cancelled_at: number | null
  evidence: Uint8Array | null
}

/** An order to a device to forget this fleet. */
export interface Order {
  /** 32 hex digits. */
  readonly id: string
  readonly principalId: number
  readonly kind: 'wipe' | 'transfer'
  /** SHA-256 of the SPKI of the identity key whose holder it is for, hex. */
  readonly identity: string
  readonly reason: string
  /** The claim of its next fleet; gone once the order is done. */
  readonly nextClaim?: string
  readonly keepReadings: boolean
  /** Wall-clock ms, as all times here. */
  readonly createdAt: number
  readonly createdBy: string
  /** When the device was first given it. */
  readonly fetchedAt?: number
  readonly doneAt?: number
  readonly cancelledAt?: number
  /** The device's last word (`shared/fleet/wipe-evidence.ts`), verified. */
  readonly evidence?: Uint8Array
}

export type NewOrder = Pick<Order, 'kind' | 'identity' | 'reason' | 'nextClaim' | 'keepReadings'>

/** Orders that wait for their devices, for years if need be, and those that are done. Open ones are in memory too: every set of statements asks. */
export class OrderStore {
  readonly #context: StoreContext
  readonly #open: Map<number, Order>

  private constructor(context: StoreContext, open: Map<number, Order>) {
    this.#context = context
    this.#open = open
  }

  static async load(context: StoreContext): Promise<OrderStore> {
    const rows = await context.db
      .selectFrom('orders')
      .selectAll()
      .where('done_at', 'is', null)
      .where('cancelled_at', 'is', null)
      .execute()
    return new OrderStore(context, new Map(rows.map((row) => [row.principal_id, toOrder(row)])))
  }

  /** The one that waits for this principal, if any. */
  open(principalId: number): Order | undefined {
    return this.#open.get(principalId)
  }

  /** Those that wait. */
  get waiting(): Iterable<Order> {
    return this.#open.values()
  }

  /** All of them, the newest first. */
  async list(): Promise<Order[]> {
    return (await this.#context.db.selectFrom('orders').selectAll().orderBy('created_at', 'desc').orderBy('id').execute()).map(
      toOrder,
    )
  }

  async get(id: string): Promise<Order | undefined> {
    const row = await this.#context.db.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirst()
    return row && toOrder(row)
  }

  /** In place of one that waits already. Resolves after the commit; the device is told at its next contact, or now. */
  async give(device: Principal, order: NewOrder, actor: string): Promise<Order> {
    const { db, clock, suite } = this.#context
    const now = clock.wall()
    const row: OrderRow = {
      id: Buffer.from(suite.random(16)).toString('hex'),
      principal_id: device.id,
      kind: order.kind,
      identity: order.identity,
      reason: order.reason,
      next_claim: order.nextClaim ?? null,
      keep_readings: order.keepReadings ? 1 : 0,
      created_at: now,
      created_by: actor,
      fetched_at: null,
      done_at: null,
      cancelled_at: null,
      evidence: null,
    }
    await db.transaction().execute(async (transaction) => {
      await transaction
        .updateTable('orders')
        .set({ cancelled_at: now, next_claim: null })
        .where('principal_id', '=', device.id)
        .where('done_at', 'is', null)
        .where('cancelled_at', 'is', null)
        .execute()
      await transaction.insertInto('orders').values(row).execute()
      const detail = { order: row.id, reason: order.reason, keepReadings: order.keepReadings }
      const entry = { actor, action: `device.${order.kind}`, subject: `device:${device.name}`, detail, deviceId: device.id }
      await writeAudit(transaction, now, entry)
    })
    const given = toOrder(row)
    this.#open.set(device.id, given)
    this.#context.changed({ kind: 'changed', principal: device })
    return given
  }

  /** Throws AditError `not-found` where none waits. One that the device has been given may be carried out all the same. */
  async cancel(device: Principal, actor: string): Promise<Order> {
    const order = this.#open.get(device.id)
    if (order === undefined) {
      throw new AditError('not-found', `No order waits for ${device.name}.`, 'See: adit-broker device orders')
    }
    const cancelled = { ...order, cancelledAt: this.#context.clock.wall() }
    await this.#end(device, { cancelled_at: cancelled.cancelledAt, next_claim: null }, order, 'cancelled', actor)
    this.#context.changed({ kind: 'changed', principal: device })
    return cancelled
  }

  /** The device has been given it. */
  async fetched(device: Principal, order: Order): Promise<void> {
    if (order.fetchedAt !== undefined) return
    const { db, clock } = this.#context
    const now = clock.wall()
    await db.updateTable('orders').set({ fetched_at: now }).where('id', '=', order.id).execute()
    if (this.#open.get(device.id)?.id === order.id) this.#open.set(device.id, { ...order, fetchedAt: now })
  }

  /** The device has carried it out, and said so under its key. */
  done(device: Principal, order: Order, evidence: Uint8Array): Promise<void> {
    const now = this.#context.clock.wall()
    const row = { done_at: now, fetched_at: order.fetchedAt ?? now, next_claim: null, evidence: Uint8Array.from(evidence) }
    return this.#end(device, row, order, 'done', `device:${device.name}`)
  }

  async #end(device: Principal, row: Partial<OrderRow>, order: Order, how: string, actor: string): Promise<void> {
    const { db, clock } = this.#context
    await db.transaction().execute(async (transaction) => {
      await transaction.updateTable('orders').set(row).where('id', '=', order.id).execute()
      const entry = { actor, action: `device.${order.kind}.${how}`, subject: `device:${device.name}`, deviceId: device.id }
      await writeAudit(transaction, clock.wall(), { ...entry, detail: { order: order.id } })
    })
    if (this.#open.get(device.id)?.id === order.id) this.#open.delete(device.id)
  }
}

const toOrder = (row: Selectable<OrderRow>): Order => ({
  id: row.id,
  principalId: row.principal_id,
  kind: row.kind,
  identity: row.identity,
  reason: row.reason,
  keepReadings: row.keep_readings === 1,
  createdAt: row.created_at,
  createdBy: row.created_by,
  ...(row.next_claim === null ? {} : { nextClaim: row.next_claim }),
  ...(row.fetched_at === null ? {} : { fetchedAt: row.fetched_at }),
  ...(row.done_at === null ? {} : { doneAt: row.done_at }),
  ...(row.cancelled_at === null ? {} : { cancelledAt: row.cancelled_at }),
  ...(row.evidence === null ? {} : { evidence: Uint8Array.from(row.evidence) }),
})
