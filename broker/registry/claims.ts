import { toHex } from '#shared/bytes/hex.ts'
import { checkNamePattern, hasCounter } from '#shared/enrolment/name.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { writeAudit } from './audit-log.ts'
import { type ClaimCredentials, ClaimRight, nameTaken, rightIdOf } from './claim-right.ts'
import { type ClaimRole, type ClaimSummary, parseRate, toSummary } from './claim-row.ts'
import { isNameTaken } from './enlist.ts'
import { denyWaiting } from './enrolments.ts'
import { checkLabels } from './label.ts'
import type { Bid } from './right.ts'
import type { Redeemed, RightUses } from './right-uses.ts'
import type { ClaimRow } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

export type { ClaimRole, ClaimSummary } from './claim-row.ts'

export interface NewClaim {
  role: ClaimRole
  /** A name, or a pattern with a counter (`pi-{n}`, `pi-###`); without one, names are made from the enrolled key. */
  name?: string
  /** 1 unless said otherwise, or one for each of the `serials`. */
  uses?: number
  /** Milliseconds; 24 hours unless said otherwise. */
  ttl?: number
  tags?: readonly string[]
  groups?: readonly string[]
  admin?: boolean
  /** A person must say yes to each request. */
  approval?: boolean
  /** Only units that say one of these numbers may enrol, each once. */
  serials?: readonly string[]
  /** How many may enrol in which span of time: `10/m`. */
  rate?: string
}

export interface Redemption extends Omit<Bid, 'shownAt'>, ClaimCredentials {
  /** Where the asker says what it means to become; EST does not, and takes what the claim is for. */
  readonly role?: ClaimRole
}

const idBytes = 8
const secretBytes = 16
const defaultTtl = 24 * 3_600_000
const mostUses = 1_000_000
/** Serial numbers in one claim at most: a batch. */
const mostSerials = 10_000

/** Short-lived rights to enrol. Only a hash of the secret is kept; burning one is one write transaction (P-19). */
export class ClaimStore {
  readonly #context: StoreContext
  readonly #uses: RightUses

  constructor(context: StoreContext, uses: RightUses) {
    this.#context = context
    this.#uses = uses
  }

  /** Resolves after the commit; the secret (16 bytes) is nowhere but in the answer. */
  async create(
    claim: NewClaim,
    actor = 'broker',
    /** What is to be written in the same transaction. */
    beside: (transaction: WriteTransaction, id: string) => Promise<void> = async () => {},
  ): Promise<{ summary: ClaimSummary; id: Uint8Array; secret: Uint8Array }> {
    const { db, clock, suite } = this.#context
    const uses = claim.uses ?? (claim.serials?.length || 1)
    if (!Number.isInteger(uses) || uses < 1 || uses > mostUses) throw usage(`A claim has 1 to ${mostUses} uses, not ${uses}.`)
    const name = claim.name === undefined ? null : checkNamePattern(claim.name)
    if (name !== null && !hasCounter(name) && uses > 1) {
      throw usage(`${uses} uses cannot share the one name ${name}: use a counter, as in ${name}-{n}.`)
    }
    if (claim.role !== 'operator' && (claim.admin || claim.groups?.length)) throw usage('Groups and --admin are for operators.')
    const id = suite.random(idBytes)
    const secret = suite.random(secretBytes)
    const now = clock.wall()
    const row: ClaimRow = {
      id: toHex(id),
      secret_hash: suite.hash('sha256', secret),
      role: claim.role === 'operator' ? 'operator' : 'device',
      station: claim.role === 'station' ? 1 : 0,
      name,
      counter: 0,
      uses,
      used: 0,
      tags: JSON.stringify(checkLabels('tag', claim.tags ?? [])),
      groups: JSON.stringify(checkLabels('group', claim.groups ?? [])),
      admin: claim.admin ? 1 : 0,
      approval: claim.approval ? 1 : 0,
      serials: checkSerials(claim.serials),
      rate: claim.rate === undefined ? null : checkRate(claim.rate),
      created_at: now,
      expires_at: now + (claim.ttl ?? defaultTtl),
      revoked_at: null,
    }
    await db.transaction().execute(async (transaction) => {
      if (name !== null && !hasCounter(name) && (await isNameTaken(transaction, claim.role, name)))
        throw nameTaken(claim.role, name)
      await transaction.insertInto('claims').values(row).execute()
      await beside(transaction, row.id)
      const { approval, serials, rate } = toSummary(row, now)
      const limits = { ...(approval && { approval }), ...(serials && { serials: serials.length }), ...(rate && { rate }) }
      const detail = { role: claim.role, name: name ?? undefined, uses, expiresAt: row.expires_at, ...limits }
      await writeAudit(transaction, now, { actor, action: 'claim.create', subject: `claim:${row.id}`, detail })
    })
    return { summary: toSummary(row, now), id, secret }
  }

  async list(): Promise<ClaimSummary[]> {
    const now = this.#context.clock.wall()
    const rows = await this.#context.db.selectFrom('claims').selectAll().orderBy('created_at').orderBy('id').execute()
    return rows.map((row) => toSummary(row, now))
  }

  /** Throws AditError `claim-unknown`. */
  async revoke(id: string, actor = 'broker'): Promise<ClaimSummary> {
    const now = this.#context.clock.wall()
    return this.#context.db.transaction().execute(async (transaction) => {
      const before = await transaction.selectFrom('claims').selectAll().where('id', '=', id.toLowerCase()).executeTakeFirst()
      if (!before) throw new AditError('claim-unknown', `There is no claim ${id.slice(0, 32)}.`, 'See: adit-broker claim list')
      if (before.revoked_at !== null) return toSummary(before, now)
      await transaction.updateTable('claims').set({ revoked_at: now }).where('id', '=', before.id).execute()
      await denyWaiting(transaction, rightIdOf(before.id), { reason: 'The claim was revoked.', actor, now })
      await writeAudit(transaction, now, { actor, action: 'claim.revoke', subject: `claim:${before.id}` })
      return toSummary({ ...before, revoked_at: now }, now)
    })
  }

  /** The right of whoever has these credentials; nothing is looked up yet. */
  right(credentials: ClaimCredentials, expected?: ClaimRole): ClaimRight {
    return new ClaimRight(credentials, expected, this.#context)
  }

  /** Throws AditError claim-unknown (also for a wrong secret) | claim-wrong-role | claim-revoked | claim-expired | claim-used | name-taken | revoked. */
  async redeem({ id, secret, role, ...bid }: Redemption): Promise<Redeemed> {
    return this.#uses.redeem(this.right({ id, secret }, role), { ...bid, shownAt: this.#context.clock.wall() })
  }
}

const usage = (message: string): AditError => new AditError('usage', message, 'See: adit-broker claim create --help')

function checkSerials(serials: readonly string[] | undefined): string | null {
  if (serials === undefined || serials.length === 0) return null
  if (serials.length > mostSerials) throw usage(`A claim lists ${mostSerials} serial numbers at most, not ${serials.length}.`)
  return JSON.stringify([...new Set(serials.map(checkSerial))])
}

function checkRate(text: string): string {
  parseRate(text)
  return text
}
