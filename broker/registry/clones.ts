import type { Selectable } from 'kysely'
import type { RatchetLine } from '#broker/clones/ratchet-line.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { HardwareHints } from '#shared/enrolment/hardware-hints.ts'
import { AditError } from '#shared/errors.ts'
import { writeAudit } from './audit-log.ts'
import type { Principal } from './principal.ts'
import type { CloneRow } from './ratchet-rows.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

/** A copy of a device that was found by the ratchet. */
export interface Clone {
  readonly id: number
  readonly principalId: number
  readonly state: CloneRow['state']
  readonly spki: string
  readonly ends: readonly string[]
  readonly board: HardwareHints
  readonly differing: readonly string[]
  readonly kept: CloneRow['kept']
  readonly source: string | undefined
  readonly foundAt: number
  readonly lastAt: number
  readonly contacts: number
  readonly name: string | undefined
  readonly claim: string | undefined
}

export type NewClone = Omit<Clone, 'id' | 'state' | 'foundAt' | 'lastAt' | 'contacts' | 'name' | 'claim'>

export interface Contest {
  readonly principalId: number
  readonly spki: string
  readonly ticket: string | undefined
}

/** What one contact changes: all of it or nothing. */
export interface RatchetChange {
  readonly line?: RatchetLine
  readonly clone?: NewClone
  /** Opens a contest over this key, or gives the one that is open another ticket. */
  readonly contest?: { readonly spki: string; readonly ticket?: string }
  /** A key that opens nothing but the ratchet from now on. */
  readonly hold?: string
  readonly audit?: { readonly action: string; readonly detail: Record<string, unknown> }
}

/** Lines of the ratchet, copies, contests and held keys. What admission asks for is in memory. */
export class CloneStore {
  readonly #context: StoreContext
  readonly #contests = new Map<number, Contest>()
  readonly #heldKeys = new Map<string, number>()
  #open = 0

  private constructor(context: StoreContext) {
    this.#context = context
  }

  static async load(context: StoreContext): Promise<CloneStore> {
    const store = new CloneStore(context)
    const { db, directory } = context
    for (const { principal_id, spki, ticket } of await db.selectFrom('contests').selectAll().execute()) {
      store.#contests.set(principal_id, { principalId: principal_id, spki, ticket: ticket ?? undefined })
      directory.suspend(principal_id)
    }
    for (const { spki, principal_id } of await db.selectFrom('held_keys').selectAll().execute())
      store.#heldKeys.set(spki, principal_id)
    store.#open = (await store.list()).filter(isOpen).length
    return store
  }

  /** Copies that are held apart and wait for a person. */
  get open(): number {
    return this.#open
  }

  /** Whether several hold this key: then it opens nothing but the ratchet, and renewal to whom `isTicket` knows. Synchronous. */
  isRestricted(principalId: number, spki: string): boolean {
    return this.#heldKeys.has(spki) || this.#contests.get(principalId)?.spki === spki
  }

  isHeld(spki: string): boolean {
    return this.#heldKeys.has(spki)
  }

  contestOf(principalId: number): Contest | undefined {
    return this.#contests.get(principalId)
  }

  /** Whether these bytes (base64) are what the kept one of two was given. */
  isTicket(principalId: number, spki: string, text: string | undefined): boolean {
    const contest = this.#contests.get(principalId)
    if (text === undefined || contest?.ticket === undefined || contest.spki !== spki) return false
    return toHex(this.#context.suite.hash('sha256', new Uint8Array(Buffer.from(text, 'base64')))) === contest.ticket
  }

  async lineOf(principalId: number): Promise<RatchetLine | undefined> {
    const row = await this.#context.db
      .selectFrom('ratchets')
      .select('line')
      .where('principal_id', '=', principalId)
      .executeTakeFirst()
    return row && (JSON.parse(row.line) as RatchetLine)
  }

  /** Resolves after the commit. Returns the copy that was added. */
  async apply(principal: Principal, change: RatchetChange): Promise<Clone | undefined> {
    const { db, clock } = this.#context
    const now = clock.wall()
    const added = await db.transaction().execute(async (transaction) => {
      if (change.line) await putLine(transaction, principal.id, change.line, now)
      if (change.contest) await putContest(transaction, principal.id, change.contest, now)
      if (change.hold !== undefined) await holdKey(transaction, principal.id, change.hold, now)
      const clone = change.clone && (await insertClone(transaction, change.clone, now))
      if (change.audit)
        await writeAudit(transaction, now, {
          actor: 'broker',
          subject: `device:${principal.name}`,
          deviceId: principal.id,
          ...change.audit,
          detail: { ...change.audit.detail, ...(clone && { clone: clone.id }) },
        })
      return clone
    })
    if (added) this.#open++
    if (change.hold !== undefined) this.#heldKeys.set(change.hold, principal.id)
    if (change.contest) {
      const { spki, ticket } = change.contest
      this.#contests.set(principal.id, { principalId: principal.id, spki, ticket })
    }
    return added
  }

  /** While two hold its keys, its tunnel is nobody's. */
  suspend(principalId: number): void {
    if (!this.#contests.has(principalId)) return
    this.#context.directory.suspend(principalId)
    this.#changed(principalId)
  }

  /** Whoever has its tunnel at this moment is asked to make contact. */
  ask(principalId: number): void {
    const asked = this.#context.directory.byId(principalId)
    if (asked) this.#context.changed({ kind: 'ask', asked })
  }

  #changed(principalId: number): void {
    const principal = this.#context.directory.byId(principalId)
    if (principal) this.#context.changed({ kind: 'changed', principal })
  }

  /** The kept one has come under fresh keys: the old ones are the copies' alone. */
  async settle(principal: Principal): Promise<void> {
    const contest = this.#contests.get(principal.id)
    if (contest === undefined) return
    const { db, clock, directory } = this.#context
    const now = clock.wall()
    await db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('contests').where('principal_id', '=', principal.id).execute()
      await holdKey(transaction, principal.id, contest.spki, now)
      const entry = { actor: 'broker', action: 'clone.settled', subject: `device:${principal.name}`, deviceId: principal.id }
      await writeAudit(transaction, now, { ...entry, detail: { key: contest.spki } })
    })
    this.#heldKeys.set(contest.spki, principal.id)
    this.#contests.delete(principal.id)
    directory.resume(principal.id)
    this.#changed(principal.id)
  }

  async list(): Promise<Clone[]> {
    return (await this.#context.db.selectFrom('clones').selectAll().orderBy('id').execute()).map(toClone)
  }

  async of(principalId: number): Promise<Clone[]> {
    const rows = this.#context.db.selectFrom('clones').selectAll().where('principal_id', '=', principalId).orderBy('id')
    return (await rows.execute()).map(toClone)
  }

  /** Throws AditError `not-found`. */
  async get(id: number): Promise<Clone> {
    const row = await this.#context.db.selectFrom('clones').selectAll().where('id', '=', id).executeTakeFirst()
    if (row) return toClone(row)
    throw new AditError('not-found', `There is no copy of the number ${id}.`, 'See: adit-broker clones list')
  }

  /** It has come again. `ends`: by which it will be known the next time. */
  async seen(clone: Clone, source: string, ends: readonly string[]): Promise<void> {
    const { db, clock } = this.#context
    await db
      .updateTable('clones')
      .set((row) => ({ last_at: clock.wall(), source, contacts: row('contacts', '+', 1), ends: JSON.stringify(ends) }))
      .where('id', '=', clone.id)
      .execute()
  }

  /** Resolves after the commit. */
  async decide(
    clone: Clone,
    decision: { state: Clone['state']; name?: string; claim?: string | null },
    audit: { actor: string; action: string },
  ): Promise<Clone> {
    const { db, clock, directory } = this.#context
    await db.transaction().execute(async (transaction) => {
      await transaction.updateTable('clones').set(decision).where('id', '=', clone.id).execute()
      const subject = `device:${directory.byId(clone.principalId)?.name}`
      const detail = { clone: clone.id, ...(decision.name !== undefined && { name: decision.name }) }
      await writeAudit(transaction, clock.wall(), { ...audit, subject, detail, deviceId: clone.principalId })
    })
    const decided = await this.get(clone.id)
    this.#open += Number(isOpen(decided)) - Number(isOpen(clone))
    return decided
  }
}

const isOpen = ({ state }: Pick<Clone, 'state'>): boolean => state === 'held'

async function putLine(transaction: WriteTransaction, principalId: number, line: RatchetLine, at: number): Promise<void> {
  const row = { line: JSON.stringify(line), at }
  await transaction
    .insertInto('ratchets')
    .values({ principal_id: principalId, ...row })
    .onConflict((conflict) => conflict.column('principal_id').doUpdateSet(row))
    .execute()
}

async function holdKey(transaction: WriteTransaction, principalId: number, spki: string, at: number): Promise<void> {
  await transaction
    .insertInto('held_keys')
    .values({ spki, principal_id: principalId, at })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

async function putContest(
  transaction: WriteTransaction,
  principalId: number,
  { spki, ticket }: { spki: string; ticket?: string },
  now: number,
): Promise<void> {
  const row = { spki, ticket: ticket ?? null }
  await transaction
    .insertInto('contests')
    .values({ principal_id: principalId, opened_at: now, ...row })
    .onConflict((conflict) => conflict.column('principal_id').doUpdateSet(row))
    .execute()
}

async function insertClone(transaction: WriteTransaction, clone: NewClone, now: number): Promise<Clone> {
  const row = await transaction
    .insertInto('clones')
    .values({
      principal_id: clone.principalId,
      state: 'held',
      spki: clone.spki,
      ends: JSON.stringify(clone.ends),
      board: JSON.stringify(clone.board),
      differing: JSON.stringify(clone.differing),
      kept: clone.kept,
      source: clone.source ?? null,
      found_at: now,
      last_at: now,
      contacts: clone.source === undefined ? 0 : 1,
      name: null,
      claim: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  return toClone(row)
}

const toClone = (row: Selectable<CloneRow>): Clone => ({
  id: row.id,
  principalId: row.principal_id,
  state: row.state,
  spki: row.spki,
  ends: JSON.parse(row.ends),
  board: JSON.parse(row.board),
  differing: JSON.parse(row.differing),
  kept: row.kept,
  source: row.source ?? undefined,
  foundAt: row.found_at,
  lastAt: row.last_at,
  contacts: row.contacts,
  name: row.name ?? undefined,
  claim: row.claim ?? undefined,
})
