import type { Selectable } from 'kysely'
import { equalConstantTime } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { checkNamePattern, expandPattern, hasCounter } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { writeAudit } from './audit-log.ts'
import { enlist, isNameTaken } from './enlist.ts'
import { checkLabels } from './label.ts'
import type { Principal } from './principal.ts'
import { loadPrincipal } from './principal-rows.ts'
import type { ClaimRow } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

export type ClaimRole = 'device' | 'operator'

export interface NewClaim {
  role: ClaimRole
  /** A name, or a pattern with a counter (`pi-{n}`, `pi-###`); without one, names are made from the enrolled key. */
  name?: string
  /** 1 unless said otherwise. */
  uses?: number
  /** Milliseconds; 24 hours unless said otherwise. */
  ttl?: number
  tags?: readonly string[]
  groups?: readonly string[]
  admin?: boolean
}

/** A claim as a list shows it: no secret. */
export interface ClaimSummary {
  /** 16 hex digits. */
  readonly id: string
  readonly role: ClaimRole
  readonly name: string | undefined
  readonly uses: number
  readonly used: number
  readonly tags: readonly string[]
  readonly groups: readonly string[]
  readonly admin: boolean
  readonly createdAt: number
  readonly expiresAt: number
  readonly revokedAt?: number
  readonly state: 'open' | 'used' | 'expired' | 'revoked'
}

export interface Redemption {
  /** 16 hex digits: the user name of HTTP Basic. */
  id: string
  /** 16 bytes. */
  secret: Uint8Array
  /** Where the asker says what it means to become; EST does not, and takes what the claim is for. */
  role?: ClaimRole
  /** SHA-256 of the SPKI of the key to be certified, hex. */
  spkiSha256: string
  /** X25519 key whose possession was proven, 64 hex digits. */
  tunnelKey?: string
}

export interface Redeemed {
  readonly principal: Principal
  /** True where this (claim, key) had been redeemed before: nothing was burnt. */
  readonly repeated: boolean
  /** DER of the certificate that was recorded for this (claim, key) before: to be returned instead of a new one. */
  readonly certificate: Uint8Array | undefined
}

const idBytes = 8
const secretBytes = 16
const defaultTtl = 24 * 3_600_000
const mostUses = 1_000_000
/** How many taken names a counter steps over before the claim gives up. */
const counterSteps = 1_000

/** Short-lived rights to enrol. Only a hash of the secret is kept; burning one is one write transaction (P-19). */
export class ClaimStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** Resolves after the commit; the secret (16 bytes) is nowhere but in the answer. */
  async create(claim: NewClaim, actor = 'broker'): Promise<{ summary: ClaimSummary; id: Uint8Array; secret: Uint8Array }> {
    const { db, clock, suite } = this.#context
    const uses = claim.uses ?? 1
    if (!Number.isInteger(uses) || uses < 1 || uses > mostUses) throw usage(`A claim has 1 to ${mostUses} uses, not ${uses}.`)
    const name = claim.name === undefined ? null : checkNamePattern(claim.name)
    if (name !== null && !hasCounter(name) && uses > 1) {
      throw usage(`${uses} uses cannot share the one name ${name}: use a counter, as in ${name}-{n}.`)
    }
    if (claim.role === 'device' && (claim.admin || claim.groups?.length)) throw usage('Groups and --admin are for operators.')
    const id = suite.random(idBytes)
    const secret = suite.random(secretBytes)
    const now = clock.wall()
    const row: ClaimRow = {
      id: toHex(id),
      secret_hash: suite.hash('sha256', secret),
      role: claim.role,
      name,
      counter: 0,
      uses,
      used: 0,
      tags: JSON.stringify(checkLabels('tag', claim.tags ?? [])),
      groups: JSON.stringify(checkLabels('group', claim.groups ?? [])),
      admin: claim.admin ? 1 : 0,
      created_at: now,
      expires_at: now + (claim.ttl ?? defaultTtl),
      revoked_at: null,
    }
    await db.transaction().execute(async (transaction) => {
      if (name !== null && !hasCounter(name) && (await isNameTaken(transaction, claim.role, name)))
        throw nameTaken(claim.role, name)
      await transaction.insertInto('claims').values(row).execute()
      const detail = { role: claim.role, name: name ?? undefined, uses, expiresAt: row.expires_at }
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
      await writeAudit(transaction, now, { actor, action: 'claim.revoke', subject: `claim:${before.id}` })
      return toSummary({ ...before, revoked_at: now }, now)
    })
  }

  /** Throws AditError claim-unknown (also for a wrong secret) | claim-wrong-role | claim-revoked | claim-expired | claim-used | name-taken | revoked. */
  async redeem(request: Redemption): Promise<Redeemed> {
    const redeemed = await this.#context.db.transaction().execute((transaction) => this.#redeem(transaction, request))
    if (!redeemed.repeated) this.#context.changed({ kind: 'added', principal: redeemed.principal })
    return redeemed
  }

  async #redeem(transaction: WriteTransaction, request: Redemption): Promise<Redeemed> {
    const now = this.#context.clock.wall()
    const claim = await this.#authentic(transaction, request)
    if (request.role !== undefined && claim.role !== request.role) {
      throw new AditError('claim-wrong-role', `This claim is for a ${claim.role}.`, `Use it with ${enrolCommand[claim.role]}.`)
    }
    if (claim.revoked_at !== null) throw new AditError('claim-revoked', 'This claim was revoked.', askForAnother)
    if (now >= claim.expires_at) throw new AditError('claim-expired', 'This claim has expired.', askForAnother)
    const repeated = await this.#repeated(transaction, claim.id, request)
    if (repeated) return repeated
    const burnt = await transaction
      .updateTable('claims')
      .set((expression) => ({ used: expression('used', '+', 1) }))
      .where('id', '=', claim.id)
      .where('used', '<', claim.uses)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', now)
      .executeTakeFirst()
    if (burnt.numUpdatedRows !== 1n) throw new AditError('claim-used', 'This claim has been used up.', askForAnother)
    const principal = await enlist(this.#context, transaction, {
      kind: claim.role,
      name: await this.#nameFor(transaction, claim, request.spkiSha256),
      spkiSha256: request.spkiSha256,
      ...(request.tunnelKey === undefined ? {} : { tunnelKey: request.tunnelKey }),
      tags: JSON.parse(claim.tags) as string[],
      groups: JSON.parse(claim.groups) as string[],
      admin: claim.admin === 1,
      stock: false,
      // Admitted by its certificate, which is recorded next: not a moment before.
      expiresAt: now,
    })
    await transaction
      .insertInto('claim_uses')
      .values({
        claim_id: claim.id,
        spki: request.spkiSha256,
        tunnel_key: request.tunnelKey ?? null,
        principal_id: principal.id,
        at: now,
      })
      .execute()
    await writeAudit(transaction, now, {
      actor: `claim:${claim.id}`,
      action: 'claim.redeem',
      subject: `${principal.kind}:${principal.name}`,
      detail: { key: request.spkiSha256, addresses: principal.addresses },
      ...(principal.kind === 'device' ? { deviceId: principal.id } : {}),
    })
    return { principal, repeated: false, certificate: undefined }
  }

  /** The claim of the id where the secret fits; an unknown id costs the same and says the same. */
  async #authentic(transaction: WriteTransaction, request: Redemption): Promise<Selectable<ClaimRow>> {
    const claim = await transaction.selectFrom('claims').selectAll().where('id', '=', request.id.toLowerCase()).executeTakeFirst()
    const offered = this.#context.suite.hash('sha256', request.secret)
    const fits = equalConstantTime(offered, claim?.secret_hash ?? new Uint8Array(offered.length))
    if (!claim || !fits) throw new AditError('claim-unknown', 'This broker does not know that claim.', askForAnother)
    return claim
  }

  async #repeated(transaction: WriteTransaction, claimId: string, request: Redemption): Promise<Redeemed | undefined> {
    const use = await transaction
      .selectFrom('claim_uses')
      .selectAll()
      .where('claim_id', '=', claimId)
      .where('spki', '=', request.spkiSha256)
      .executeTakeFirst()
    if (!use) return undefined
    const principal = await loadPrincipal(transaction, use.principal_id)
    if (principal.revokedAt !== undefined) throw revokedMeanwhile(principal)
    if (use.tunnel_key !== (request.tunnelKey ?? null)) {
      throw new AditError(
        'request-refused',
        'This key was enrolled with another tunnel key.',
        'Repeat the request as it was first made.',
      )
    }
    const certificate = await transaction
      .selectFrom('certificates')
      .select('der')
      .where('claim_id', '=', claimId)
      .where('spki', '=', request.spkiSha256)
      .executeTakeFirst()
    return { principal, repeated: true, certificate: certificate && Uint8Array.from(certificate.der) }
  }

  async #nameFor(transaction: WriteTransaction, claim: Selectable<ClaimRow>, spkiSha256: string): Promise<string> {
    if (claim.name === null) return `${claim.role}-${spkiSha256.slice(0, 12)}`
    if (!hasCounter(claim.name)) return expandPattern(claim.name, 1)
    for (let n = claim.counter + 1; n <= claim.counter + counterSteps; n += 1) {
      const name = expandPattern(claim.name, n)
      if (await isNameTaken(transaction, claim.role, name)) continue
      await transaction.updateTable('claims').set({ counter: n }).where('id', '=', claim.id).execute()
      return name
    }
    throw nameTaken(claim.role, expandPattern(claim.name, claim.counter + 1))
  }
}

const askForAnother = 'Ask for another: adit-broker claim create'
const enrolCommand: Record<ClaimRole, string> = { device: 'adit-agent enrol', operator: 'adit login' }

const usage = (message: string): AditError => new AditError('usage', message, 'See: adit-broker claim create --help')

const nameTaken = (kind: ClaimRole, name: string): AditError =>
  new AditError(
    'name-taken',
    `There is a ${kind} of the name ${name} already.`,
    `Choose another name, or revoke it: adit-broker ${kind} revoke ${name}`,
  )

const revokedMeanwhile = (principal: Principal): AditError =>
  new AditError('revoked', `${principal.name} was revoked.`, 'Make new keys and enrol with a new claim.')

function toSummary(row: Selectable<ClaimRow>, now: number): ClaimSummary {
  return {
    id: row.id,
    role: row.role,
    name: row.name ?? undefined,
    uses: row.uses,
    used: row.used,
    tags: JSON.parse(row.tags) as string[],
    groups: JSON.parse(row.groups) as string[],
    admin: row.admin === 1,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
    state: row.revoked_at !== null ? 'revoked' : row.used >= row.uses ? 'used' : now >= row.expires_at ? 'expired' : 'open',
  }
}
