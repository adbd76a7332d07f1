import type { Selectable } from 'kysely'
import type { Grant, NewGrant, PortRange } from '#broker/policy/grant.ts'
import type { Policy } from '#broker/policy/policy.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { Mutex } from '#shared/platform/mutex.ts'
import { writeAudit } from './audit-log.ts'
import { checkLabels } from './label.ts'
import type { GrantRow } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

/** The grants on disk; the policy that is asked at every flow holds them in memory. */
export class GrantStore {
  readonly #context: StoreContext
  readonly #policy: Policy
  readonly #turn = new Mutex()

  private constructor(context: StoreContext, policy: Policy) {
    this.#context = context
    this.#policy = policy
  }

  static async load(context: StoreContext, policy: Policy): Promise<GrantStore> {
    const store = new GrantStore(context, policy)
    await store.reload()
    return store
  }

  async add(grant: NewGrant, actor = 'broker'): Promise<Grant> {
    const { db, clock } = this.#context
    const now = clock.wall()
    const row = toRow(checked(grant), now)
    const added = await db.transaction().execute(async (transaction) => {
      const { id } = await transaction.insertInto('grants').values(row).returning('id').executeTakeFirstOrThrow()
      const { createdAt: _, ...detail } = toGrant({ ...row, id })
      await writeAudit(transaction, now, { actor, action: 'grant.add', subject: `grant:${id}`, detail })
      return toGrant({ ...row, id })
    })
    await this.reload()
    this.#context.changed({ kind: 'grants' })
    return added
  }

  /** The unrevoked ones, expired ones included, unless `all`. */
  async list({ all = false }: { all?: boolean } = {}): Promise<Grant[]> {
    let rows = this.#context.db.selectFrom('grants').selectAll().orderBy('id')
    if (!all) rows = rows.where('revoked_at', 'is', null)
    return (await rows.execute()).map(toGrant)
  }

  /** Throws AditError `not-found`. */
  async revoke(id: number, actor = 'broker'): Promise<Grant> {
    const { db, clock } = this.#context
    const now = clock.wall()
    const revoked = await db.transaction().execute(async (transaction) => {
      const row = await transaction.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirst()
      if (!row) throw new AditError('not-found', `There is no grant ${id}.`, 'See: adit-broker grant list')
      if (row.revoked_at !== null) return toGrant(row)
      await transaction.updateTable('grants').set({ revoked_at: now }).where('id', '=', id).execute()
      await writeAudit(transaction, now, { actor, action: 'grant.revoke', subject: `grant:${id}` })
      return toGrant({ ...row, revoked_at: now })
    })
    await this.reload()
    this.#context.changed({ kind: 'grants' })
    return revoked
  }

  /** Gives the policy what is on disk. */
  async reload(): Promise<void> {
    // One after the other: an older list must not come last.
    const leave = await this.#turn.enter()
    try {
      this.#policy.replace(await this.list())
    } finally {
      leave()
    }
  }
}

/**
 * Takes the name of an operator, or of a device as the source of flows, out of every grant; one that named nobody else is revoked.
 * Returns how many it touched.
 */
export async function withdrawSubject(
  transaction: WriteTransaction,
  kind: 'operator' | 'device',
  name: string,
  now: number,
): Promise<number> {
  const rows = await transaction.selectFrom('grants').selectAll().where('revoked_at', 'is', null).execute()
  let touched = 0
  for (const grant of rows.map(toGrant)) {
    const before = kind === 'operator' ? grant.operators : grant.from
    if (!before.includes(name)) continue
    const left = before.filter((subject) => subject !== name)
    const alone = left.length + (kind === 'operator' ? grant.groups.length : 0) === 0
    const fewer = kind === 'operator' ? { operators: JSON.stringify(left) } : { sources: JSON.stringify(left) }
    await transaction
      .updateTable('grants')
      .set(alone ? { revoked_at: now } : fewer)
      .where('id', '=', grant.id)
      .execute()
    touched += 1
  }
  return touched
}

/** Takes a device's name out of every grant to it, whose name another may have next; one that was to nothing else is revoked. */
export async function withdrawTarget(transaction: WriteTransaction, name: string, now: number): Promise<number> {
  const rows = await transaction.selectFrom('grants').selectAll().where('revoked_at', 'is', null).execute()
  let touched = 0
  for (const grant of rows.map(toGrant)) {
    const { devices, tags, to } = grant
    if (!devices.includes(name) && !to.includes(name)) continue
    const left = { devices: devices.filter((other) => other !== name), to: to.filter((other) => other !== name) }
    const isOver = left.devices.length + left.to.length + tags.length === 0
    const fewer = { devices: JSON.stringify(left.devices), sites: JSON.stringify(left.to) }
    await transaction
      .updateTable('grants')
      .set(isOver ? { revoked_at: now } : fewer)
      .where('id', '=', grant.id)
      .execute()
    touched += 1
  }
  return touched
}

function checked(grant: NewGrant): NewGrant {
  const { from = [], to = [] } = grant
  const people = grant.operators.length + grant.groups.length
  if (people + from.length === 0) throw usage('A grant needs an operator, a group, or a device that it is from.')
  if (people > 0 && from.length > 0) throw usage('A grant is to operators or from devices, not both.')
  if (grant.tags.length + grant.devices.length + to.length === 0) throw usage('A grant needs a tag, a device, or a site.')
  if (from.length > 0 && grant.tags.length + grant.devices.length > 0) {
    throw usage('Device to device is closed: a grant from a device is to the hosts behind another (--to).')
  }
  if (from.length > 0 && grant.ports.length === 0) throw usage('A grant from a device needs a port, or all.')
  for (const { from, to } of grant.ports) {
    if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 1 && to <= 65_535 && from <= to)) {
      throw usage(`${from}-${to} is no range of ports: they go from 1 to 65535.`)
    }
  }
  return {
    ...grant,
    operators: grant.operators.map(checkName),
    groups: checkLabels('group', grant.groups),
    tags: checkLabels('tag', grant.tags),
    devices: grant.devices.map(checkName),
    from: from.map(checkName),
    to: to.map(checkName),
  }
}

const usage = (message: string): AditError => new AditError('usage', message, 'See: adit-broker grant add --help')

const toRow = (grant: NewGrant, now: number): Omit<Selectable<GrantRow>, 'id'> => ({
  operators: JSON.stringify(grant.operators),
  groups: JSON.stringify(grant.groups),
  tags: JSON.stringify(grant.tags),
  devices: JSON.stringify(grant.devices),
  sources: JSON.stringify(grant.from ?? []),
  sites: JSON.stringify(grant.to ?? []),
  ports: JSON.stringify(grant.ports.map(({ from, to }) => [from, to])),
  until: grant.until ?? null,
  created_at: now,
  revoked_at: null,
})

const toGrant = (row: Selectable<GrantRow>): Grant => ({
  id: row.id,
  operators: JSON.parse(row.operators) as string[],
  groups: JSON.parse(row.groups) as string[],
  tags: JSON.parse(row.tags) as string[],
  devices: JSON.parse(row.devices) as string[],
  from: JSON.parse(row.sources) as string[],
  to: JSON.parse(row.sites) as string[],
  ports: (JSON.parse(row.ports) as [number, number][]).map(([from, to]): PortRange => ({ from, to })),
  ...(row.until === null ? {} : { until: row.until }),
  createdAt: row.created_at,
  ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
})
