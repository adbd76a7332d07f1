import { writeAudit } from './audit-log.ts'
import { type HeldCertificate, isTwinOfReturn, neverRenewed, whyNotFirst } from './first-certificate.ts'
import type { Lane } from './lane-rows.ts'
import type { Principal } from './principal.ts'
import type { StoreContext } from './store-context.ts'

export interface LaneReturn {
  readonly principalId: number
  /** Wall-clock ms. */
  readonly expiredAt: number
  readonly at: number
  readonly lane: Lane
}

interface Knock {
  readonly expiredAt: number
  readonly lane: Lane
}

/** A device whose board has proven its IDevID: what it has, or is to have. */
type BoardReturn = { readonly again: Uint8Array } | { readonly from: HeldCertificate; readonly expiredAt: number }

/**
 * Who has an expired certificate and may do nothing but renew it (DESIGN D4): whom a person has let back in beyond the lane's end, who
 * still has its first certificate, and who has come back.
 */
export class RenewalLane {
  readonly #context: StoreContext
  readonly #readmitted: Map<number, number>
  /** Expired ones that have shown themselves. */
  readonly #knocking = new Map<number, Knock>()
  /** `issuer serial` of what was given in a lane that is open once, and nobody has shown yet. */
  readonly #unshown: Map<string, number>

  private constructor(context: StoreContext, readmitted: Map<number, number>, unshown: Map<string, number>) {
    this.#context = context
    this.#readmitted = readmitted
    this.#unshown = unshown
  }

  static async load(context: StoreContext): Promise<RenewalLane> {
    const readmitted = await context.db.selectFrom('readmissions').selectAll().execute()
    const given = await context.db.selectFrom('lane_renewals').selectAll().where('shown_at', 'is', null).execute()
    return new RenewalLane(
      context,
      new Map(readmitted.map(({ principal_id, until }) => [principal_id, until])),
      new Map(given.map(({ issuer, serial, principal_id }) => [keyOf(issuer, serial), principal_id])),
    )
  }

  /** Until when the principal may renew whatever its certificate's age; undefined: nobody has said so. */
  readmittedUntil(principalId: number): number | undefined {
    return this.#readmitted.get(principalId)
  }

  /** Its own key may renew until then. Resolves after the commit. */
  async readmit(principal: Principal, until: number, actor: string): Promise<void> {
    const { db, clock } = this.#context
    const now = clock.wall()
    await db.transaction().execute(async (transaction) => {
      const row = { until, at: now }
      await transaction
        .insertInto('readmissions')
        .values({ principal_id: principal.id, ...row })
        .onConflict((conflict) => conflict.column('principal_id').doUpdateSet(row))
        .execute()
      const entry = { actor, action: 'device.readmit', subject: `${principal.kind}:${principal.name}`, deviceId: principal.id }
      await writeAudit(transaction, now, { ...entry, detail: { until } })
    })
    this.#readmitted.set(principal.id, until)
  }

  /** Why that certificate does not come from a shelf; undefined: it is the only one that its device ever had. */
  whyNotFirst(held: HeldCertificate): Promise<string | undefined> {
    return whyNotFirst(this.#context.db, held)
  }

  /** Whether its device came off the shelf by that very certificate after `since` (wall-clock ms): whoever shows it now is a second one. */
  isTwin(held: HeldCertificate, since: number): Promise<boolean> {
    return isTwinOfReturn(this.#context.db, held, since)
  }

  /** Which of these principals still have their first certificate. */
  neverRenewed(principalIds: readonly number[]): Promise<Set<number>> {
    return neverRenewed(this.#context.db, principalIds)
  }

  /**
   * What a board that has proven its IDevID has to come back by, with that identity key (SHA-256 of its SPKI, hex): its device sleeps, and
   * the key is that of the newest certificate; or what it was given before, and nobody has shown. Undefined: it is in service, or the key
   * or certificate is an old one, or revoked.
   */
  async boardReturn({ id }: Principal, spki: string): Promise<BoardReturn | undefined> {
    const { db, clock } = this.#context
    const newest = await db
      .selectFrom('certificates as c')
      .leftJoin('lane_renewals as r', (join) => join.onRef('r.issuer', '=', 'c.issuer').onRef('r.serial', '=', 'c.serial'))
      .select(['c.issuer', 'c.serial', 'c.spki', 'c.der', 'c.not_after', 'c.revoked_at', 'r.lane', 'r.shown_at'])
      .where('c.principal_id', '=', id)
      .orderBy('c.not_after', 'desc')
      .orderBy('c.recorded_at', 'desc')
      .executeTakeFirst()
    if (newest === undefined || newest.spki !== spki || newest.revoked_at !== null) return undefined
    if (newest.not_after < clock.wall()) {
      const from = { principalId: id, issuerHex: newest.issuer, serialHex: newest.serial }
      return { from, expiredAt: newest.not_after }
    }
    return newest.lane === ('board' satisfies Lane) && newest.shown_at === null
      ? { again: Uint8Array.from(newest.der) }
      : undefined
  }

  /** An expired certificate was let in to be renewed. */
  entered({ id }: Pick<Principal, 'id'>, expiredAt: number, lane: Lane): void {
    this.#knocking.set(id, { expiredAt, lane })
  }

  /** A certificate was given in a lane that is open once. */
  gave({ principalId, issuerHex, serialHex }: HeldCertificate): void {
    this.#unshown.set(keyOf(issuerHex, serialHex), principalId)
  }

  /** A living certificate is shown: where it was given in such a lane, that is closed behind it. Resolves after the commit. */
  async shown({ issuerHex, serialHex }: Pick<HeldCertificate, 'issuerHex' | 'serialHex'>): Promise<void> {
    const principalId = this.#unshown.get(keyOf(issuerHex, serialHex))
    if (principalId === undefined) return
    const { db, clock } = this.#context
    await db
      .updateTable('lane_renewals')
      .set({ shown_at: clock.wall() })
      .where('principal_id', '=', principalId)
      .where('shown_at', 'is', null)
      .execute()
    for (const [key, id] of this.#unshown) if (id === principalId) this.#unshown.delete(key)
  }

  /** The principal has changed: where it was in the lane and has a living certificate now, it has come back. */
  async noteReturn(principal: Principal): Promise<void> {
    const { db, clock } = this.#context
    const now = clock.wall()
    const knock = this.#knocking.get(principal.id)
    if (knock === undefined || (principal.expiresAt ?? 0) <= now) return
    this.#knocking.delete(principal.id)
    this.#readmitted.delete(principal.id)
    const { expiredAt, lane } = knock
    await db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('readmissions').where('principal_id', '=', principal.id).execute()
      await transaction
        .insertInto('lane_returns')
        .values({ principal_id: principal.id, expired_at: expiredAt, at: now, lane })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
      const subject = `${principal.kind}:${principal.name}`
      const about = principal.kind === 'device' ? { deviceId: principal.id } : {}
      await writeAudit(transaction, now, {
        actor: subject,
        action: 'lane.return',
        subject,
        detail: { expiredAt, lane },
        ...about,
      })
    })
  }

  /** The youngest first. */
  async returns(limit = 100): Promise<LaneReturn[]> {
    const rows = await this.#context.db.selectFrom('lane_returns').selectAll().orderBy('at', 'desc').limit(limit).execute()
    return rows.map(({ principal_id, expired_at, at, lane }) => ({ principalId: principal_id, expiredAt: expired_at, at, lane }))
  }
}

const keyOf = (issuerHex: string, serialHex: string): string => `${issuerHex} ${serialHex}`
