import type { Kysely, Selectable } from 'kysely'
import { checkName, escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { FixedQuery } from '#shared/platform/fixed-query.ts'
import { days, minutes, type WallTime, wallTime } from '#shared/time/instant.ts'
import { writeAudit } from './audit-log.ts'
import { isNameTaken } from './enlist.ts'
import type { EnrolmentRow, EnrolmentState } from './enrolment-row.ts'
import { checkLabels } from './label.ts'
import type { PrincipalKind } from './principal.ts'
import type { Wish } from './right.ts'
import type { Tables } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

/** A request for which a person's word was needed. */
export interface EnrolmentRequest {
  /** What the person types: 1, 2, 3 … */
  readonly id: number
  readonly rightId: string
  /** SHA-256 of the key's SPKI, hex. */
  readonly spkiSha256: string
  readonly role: PrincipalKind
  /** A name or pattern, as the right has it; undefined: made from the key. */
  readonly name: string | undefined
  readonly serial: string | undefined
  /** Of the right. */
  readonly tags: readonly string[]
  /** The address that it came from first. */
  readonly source: string
  readonly state: EnrolmentState
  /** What the hook, and then the person, wants otherwise; undefined: the hook was not asked. */
  readonly wish: Wish | undefined
  /** Why it was denied. */
  readonly reason: string | undefined
  readonly askedAt: WallTime
  /** When it was last asked for, within five minutes. */
  readonly seenAt: WallTime
  readonly decidedAt: WallTime | undefined
  readonly decidedBy: string | undefined
}

export type NewEnrolmentRequest = Pick<
  EnrolmentRequest,
  'rightId' | 'spkiSha256' | 'role' | 'name' | 'serial' | 'tags' | 'source' | 'wish'
>

/** How long a request waits for a person, an approval for its request, and a decision is remembered. */
const patience = days(30)
/** How old `seenAt` may be before it is written again: a thousand devices that ask each half minute must not wear the disk. */
const seenStep = minutes(5)
/** Requests in one answer at most. */
const mostListed = 10_000
const reasonLimit = 200

const requestOf = new FixedQuery((db: Kysely<Tables>, { rightId, spki }: { rightId: string; spki: string }) =>
  db.selectFrom('enrolments').selectAll().where('right_id', '=', rightId).where('spki', '=', spki),
)

/** Requests that wait for a person, and what was decided; never more than the limit, and none for ever. */
export class EnrolmentStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  async find(rightId: string, spkiSha256: string): Promise<EnrolmentRequest | undefined> {
    const [row] = await requestOf.execute(this.#context.db, { rightId, spki: spkiSha256 })
    return row && toRequest(row)
  }

  /**
   * Puts a request in the queue, or says how one that is there stands. `left`: uses of its right; `limit`: requests that may wait at
   * all. Throws AditError `claim-used` or `rate-limited` where there is no room.
   */
  async queue(request: NewEnrolmentRequest, { left, limit }: { left: number; limit: number }): Promise<EnrolmentRequest> {
    const { db, clock } = this.#context
    const before = await this.find(request.rightId, request.spkiSha256)
    if (before) return this.#seen(before)
    return db.transaction().execute(async (transaction) => {
      const now = clock.wall()
      await lapse(transaction, now)
      const ofRight = await countPending(transaction, request.rightId)
      if (ofRight >= left)
        throw new AditError('claim-used', tooManyOfRight(ofRight), 'Ask whoever made the claim, or for another claim.')
      if ((await countPending(transaction)) >= limit)
        throw new AditError(
          'rate-limited',
          'Too many requests wait for a person already.',
          'Ask again later, or ask whoever runs the broker.',
        )
      const row = await transaction
        .insertInto('enrolments')
        .values({
          right_id: request.rightId,
          spki: request.spkiSha256,
          role: request.role,
          name: request.name ?? null,
          serial: request.serial ?? null,
          tags: JSON.stringify(request.tags),
          source: request.source,
          state: 'waiting',
          wish: request.wish === undefined ? null : JSON.stringify(request.wish),
          reason: null,
          asked_at: now,
          seen_at: now,
          decided_at: null,
          decided_by: null,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      const detail = {
        key: request.spkiSha256,
        role: request.role,
        name: request.name,
        serial: request.serial,
        from: request.source,
      }
      await writeAudit(transaction, now, {
        actor: request.rightId,
        action: 'enrolment.ask',
        subject: `enrolment:${row.id}`,
        detail,
      })
      return toRequest(row)
    })
  }

  /** Those that wait, or `all` that are remembered, in the order of their coming. */
  async list(all = false): Promise<EnrolmentRequest[]> {
    let rows = this.#context.db.selectFrom('enrolments').selectAll().orderBy('id').limit(mostListed)
    if (!all) rows = rows.where('state', '=', 'waiting')
    return (await rows.execute()).map(toRequest)
  }

  /** Throws AditError `not-found`. */
  async get(id: number): Promise<EnrolmentRequest> {
    const row = await this.#context.db.selectFrom('enrolments').selectAll().where('id', '=', id).executeTakeFirst()
    if (row) return toRequest(row)
    throw notFound(id)
  }

  /** Its asker gets a certificate when it asks again. Throws AditError `not-found`, `name-invalid`, `name-taken`, `claim-revoked` or `request-decided`. */
  async approve(id: number, wish: Wish, actor = 'broker'): Promise<EnrolmentRequest> {
    return this.#decide(id, actor, async (transaction, before) => {
      const name = wish.name === undefined ? undefined : checkName(wish.name)
      if (name !== undefined && (await isNameTaken(transaction, before.role, name)))
        throw new AditError('name-taken', `There is a ${before.role} of the name ${name} already.`, 'Choose another name.')
      const tags = checkLabels('tag', [...(before.wish?.tags ?? []), ...(wish.tags ?? [])])
      const whole: Wish = { ...before.wish, ...(name !== undefined && { name }), ...(tags.length > 0 && { tags }) }
      await assertNotRevoked(transaction, before)
      return { state: 'approved' as const, wish: JSON.stringify(whole), reason: null, detail: { ...whole } }
    })
  }

  /** `reason` is told to whoever asks again. Throws AditError `not-found` or `request-decided`. */
  async deny(id: number, reason: string, actor = 'broker'): Promise<EnrolmentRequest> {
    const told = escapeText(reason.trim()).slice(0, reasonLimit)
    return this.#decide(id, actor, async () => ({ state: 'denied' as const, reason: told, detail: { reason: told } }))
  }

  /** An approval may be taken back until it is used, a denial too; what has enrolled is the principal's own business. */
  async #decide(
    id: number,
    actor: string,
    decision: (transaction: WriteTransaction, before: EnrolmentRequest) => Promise<Decision>,
  ): Promise<EnrolmentRequest> {
    const { db, clock } = this.#context
    return db.transaction().execute(async (transaction) => {
      const row = await transaction.selectFrom('enrolments').selectAll().where('id', '=', id).executeTakeFirst()
      if (!row) throw notFound(id)
      if (row.state === 'enrolled')
        throw new AditError(
          'request-decided',
          `Request ${id} was approved and has enrolled.`,
          'Revoke what it became, if need be.',
        )
      const now = clock.wall()
      const { detail, ...decided } = await decision(transaction, toRequest(row))
      await transaction
        .updateTable('enrolments')
        .set({ ...decided, decided_at: now, decided_by: actor })
        .where('id', '=', id)
        .execute()
      const action = decided.state === 'approved' ? 'enrolment.approve' : 'enrolment.deny'
      await writeAudit(transaction, now, { actor, action, subject: `enrolment:${id}`, detail: { key: row.spki, ...detail } })
      return toRequest({ ...row, ...decided, decided_at: now, decided_by: actor })
    })
  }

  async #seen(request: EnrolmentRequest): Promise<EnrolmentRequest> {
    const now = this.#context.clock.wall()
    if (now - request.seenAt < seenStep) return request
    await this.#context.db.updateTable('enrolments').set({ seen_at: now }).where('id', '=', request.id).execute()
    return { ...request, seenAt: now }
  }
}

interface Decision {
  state: 'approved' | 'denied'
  wish?: string
  reason: string | null
  detail: Record<string, unknown>
}

/** Nobody is let in by a claim that was taken back: to say so would be to promise what the asker does not get. */
async function assertNotRevoked(transaction: WriteTransaction, { id, rightId }: EnrolmentRequest): Promise<void> {
  // As claim-right.ts writes it; the right of a factory certificate is another.
  const claim = /^claim:(.+)$/.exec(rightId)?.[1]
  if (claim === undefined) return
  const row = await transaction.selectFrom('claims').select('revoked_at').where('id', '=', claim).executeTakeFirst()
  if (row === undefined || row.revoked_at === null) return
  throw new AditError(
    'claim-revoked',
    `The claim of request ${id} was revoked: its asker gets no certificate by it.`,
    'Give the asker another claim: adit-broker claim create',
  )
}

/** Within the transaction that ends the right. */
export async function denyWaiting(
  transaction: WriteTransaction,
  rightId: string,
  { reason, actor, now }: { reason: string; actor: string; now: WallTime },
): Promise<void> {
  await transaction
    .updateTable('enrolments')
    .set({ state: 'denied', reason, decided_at: now, decided_by: actor })
    .where('right_id', '=', rightId)
    .where('state', 'in', ['waiting', 'approved'])
    .execute()
}

/** Within the transaction that makes the principal. */
export async function markEnrolled(transaction: WriteTransaction, rightId: string, spkiSha256: string): Promise<void> {
  await transaction
    .updateTable('enrolments')
    .set({ state: 'enrolled' })
    .where('right_id', '=', rightId)
    .where('spki', '=', spkiSha256)
    .execute()
}

async function countPending(transaction: WriteTransaction, rightId?: string): Promise<number> {
  let rows = transaction.selectFrom('enrolments').where('state', 'in', ['waiting', 'approved'])
  if (rightId !== undefined) rows = rows.where('right_id', '=', rightId)
  const { count } = await rows.select(({ fn }) => fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
  return count
}

async function lapse(transaction: WriteTransaction, now: WallTime): Promise<void> {
  const gone = await transaction
    .deleteFrom('enrolments')
    .where((expression) =>
      expression.or([
        expression.and([expression('state', '=', 'waiting'), expression('asked_at', '<', now - patience)]),
        expression('decided_at', '<', now - patience),
      ]),
    )
    .returning(['id', 'state', 'right_id'])
    .execute()
  for (const { id, state, right_id } of gone)
    if (state === 'waiting' || state === 'approved')
      await writeAudit(transaction, now, {
        actor: 'broker',
        action: 'enrolment.lapse',
        subject: `enrolment:${id}`,
        detail: { state, right: right_id },
      })
}

const toRequest = (row: Selectable<EnrolmentRow>): EnrolmentRequest => ({
  id: row.id,
  rightId: row.right_id,
  spkiSha256: row.spki,
  role: row.role,
  name: row.name ?? undefined,
  serial: row.serial ?? undefined,
  tags: JSON.parse(row.tags) as string[],
  source: row.source,
  state: row.state,
  wish: row.wish === null ? undefined : (JSON.parse(row.wish) as Wish),
  reason: row.reason ?? undefined,
  askedAt: wallTime(row.asked_at),
  seenAt: wallTime(row.seen_at),
  decidedAt: row.decided_at === null ? undefined : wallTime(row.decided_at),
  decidedBy: row.decided_by ?? undefined,
})

const tooManyOfRight = (count: number): string =>
  `This claim has been used up: ${count === 1 ? 'a request of it waits' : `${count} requests of it wait`} for a person already.`

const notFound = (id: number): AditError =>
  new AditError('not-found', `There is no request ${id}.`, 'See: adit-broker enrolments list --all')
