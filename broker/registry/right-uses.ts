import type { Kysely } from 'kysely'
import { AditError } from '#shared/errors.ts'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'
import { FixedQuery } from '#shared/platform/fixed-query.ts'
import { type AuditEntry, writeAudit } from './audit-log.ts'
import { type CertificateRecord, insertCertificates } from './certificates.ts'
import { enlist } from './enlist.ts'
import type { RightUseRow } from './enrolment-row.ts'
import { markEnrolled } from './enrolments.ts'
import { checkLabels } from './label.ts'
import type { Principal, PrincipalKind } from './principal.ts'
import { loadPrincipal } from './principal-rows.ts'
import type { Bid, Offer, Right, Wish } from './right.ts'
import type { Tables } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

export interface Redeemed {
  readonly principal: Principal
  /** True where this (right, key) had been redeemed before: nothing was burnt. */
  readonly repeated: boolean
  /** DER of the certificate that was recorded for this (right, key) before: to be returned instead of a new one. */
  readonly certificate: Uint8Array | undefined
}

type NewCertificate = Omit<CertificateRecord, 'principalId' | 'right'>

/** Makes the certificate of a principal that is about to be; whatever it does besides must bear a rollback. */
export type Certify = (principal: Pick<Principal, 'kind' | 'name'>) => Promise<NewCertificate>

interface Redemption {
  readonly right: Right
  readonly bid: Bid
  readonly wish: Wish
  readonly certify: Certify | undefined
}

type Outcome = Redeemed | { readonly fault: unknown }

/** What the redemptions of a group leave to be written at its end. */
interface Leavings {
  readonly certificates: CertificateRecord[]
  readonly audit: AuditEntry[]
}

const useOf = new FixedQuery((db: Kysely<Tables>, { rightId, spki }: { rightId: string; spki: string }) =>
  db.selectFrom('right_uses').selectAll().where('right_id', '=', rightId).where('spki', '=', spki),
)

const insertUse = new FixedQuery((db: Kysely<Tables>, { right_id, spki, tunnel_key, serial, principal_id, at }: RightUseRow) =>
  db.insertInto('right_uses').values({ right_id, spki, tunnel_key, serial, principal_id, at }),
)

/** Redemptions in one transaction at most: whoever else wants to write waits for so many, some 50 ms. */
const groupLimit = 32

/** Which key has enrolled by which right: one principal for each (right, key), however often and from wherever it is asked for (P-19). */
export class RightUses {
  readonly #context: StoreContext
  readonly #batcher: CommitBatcher<Redemption, Outcome>

  constructor(context: StoreContext) {
    this.#context = context
    this.#batcher = new CommitBatcher({ maxWeight: groupLimit, write: (asked) => this.#together(asked) })
  }

  /** Who may come back by the right, in service or not, revoked or not; undefined: nobody. */
  async holderOf(right: Right): Promise<Principal | undefined> {
    const id = await right.holder?.(this.#context.db)
    return id === undefined ? undefined : loadPrincipal(this.#context.db, id)
  }

  /** What the right would give, or what it has given this key before. Burns nothing. Throws AditError of the right's fault. */
  look(right: Right, bid: Bid): Promise<Redeemed | { offer: Offer }> {
    return this.#look(this.#context.db, right, bid)
  }

  /**
   * In one write transaction, which those that come at once share; with `certify`, the certificate is made and recorded in it too, so
   * that there is never the one without the other. Resolves after the commit. Throws AditError of the right's fault, name-taken,
   * already-enrolled, request-refused or revoked: to nobody but its own caller.
   */
  async redeem(right: Right, bid: Bid, wish: Wish = {}, certify?: Certify): Promise<Redeemed> {
    const redeemed = await this.#batcher.add({ right, bid, wish, certify })
    if ('fault' in redeemed) throw redeemed.fault
    if (!redeemed.repeated) this.#context.changed({ kind: 'added', principal: redeemed.principal })
    return redeemed
  }

  /** Resolves when every redemption so far is on disk, or refused. */
  drained(): Promise<void> {
    return this.#batcher.drained()
  }

  async #together(asked: readonly Redemption[]): Promise<Outcome[]> {
    const fault = (error: unknown): [Outcome] => [{ fault: error }]
    const [first, ...others] = asked
    if (first !== undefined && others.length === 0) return this.#commit([first]).catch(fault)
    try {
      return await this.#commit(asked)
    } catch {
      // One of them failed when it had begun to write. Nothing of the group is kept: each is tried again by itself, and meets its own fault.
      const outcomes: Outcome[] = []
      for (const one of asked) outcomes.push(...(await this.#commit([one]).catch(fault)))
      return outcomes
    }
  }

  #commit(asked: readonly Redemption[]): Promise<Outcome[]> {
    const now = this.#context.clock.wall()
    return this.#context.db.transaction().execute(async (transaction) => {
      const leavings: Leavings = { certificates: [], audit: [] }
      const outcomes: Outcome[] = []
      for (const one of asked) outcomes.push(await this.#redeem(transaction, one, now, leavings))
      await insertCertificates(transaction, leavings.certificates, now)
      await writeAudit(transaction, now, ...leavings.audit)
      return outcomes
    })
  }

  /** Throws where something may have been written; what is found before is the fault of this one alone. */
  async #redeem(transaction: WriteTransaction, asked: Redemption, now: number, leavings: Leavings): Promise<Outcome> {
    const found = await this.#look(transaction, asked.right, asked.bid).catch((error: unknown) => ({ fault: error }))
    return 'offer' in found ? this.#enlist(transaction, asked, { offer: found.offer, now, leavings }) : found
  }

  async #enlist(
    transaction: WriteTransaction,
    { right, bid, wish, certify }: Redemption,
    { offer, now, leavings }: { offer: Offer; now: number; leavings: Leavings },
  ): Promise<Redeemed> {
    const name = await right.burn(transaction, bid, wish.name)
    const issued = await certify?.({ kind: offer.role, name })
    const tunnelKey = tunnelKeyOf(offer.role, bid)
    const principal = await enlist(this.#context, transaction, {
      kind: offer.role,
      name,
      spkiSha256: bid.spkiSha256,
      ...(tunnelKey === undefined ? {} : { tunnelKey }),
      tags: checkLabels('tag', [...offer.tags, ...(wish.tags ?? [])]),
      groups: offer.groups,
      admin: offer.admin,
      stock: false,
      // Admitted by its certificate: where that is recorded later, not a moment before.
      expiresAt: Math.max(issued?.notAfter ?? now, now),
    })
    await insertUse.execute(transaction, {
      right_id: right.id,
      spki: bid.spkiSha256,
      tunnel_key: tunnelKey ?? null,
      serial: offer.serial ?? null,
      principal_id: principal.id,
      at: now,
    })
    if (offer.approval) await markEnrolled(transaction, right.id, bid.spkiSha256)
    await right.enlisted?.(transaction, principal, bid)
    const audit = {
      actor: right.id,
      action: `${right.id.split(':')[0]}.redeem`,
      subject: `${principal.kind}:${principal.name}`,
      detail: { key: bid.spkiSha256, addresses: principal.addresses, serial: offer.serial },
      ...(principal.kind === 'device' ? { deviceId: principal.id } : {}),
    }
    leavings.audit.push(audit)
    if (issued !== undefined) {
      leavings.certificates.push({ ...issued, principalId: principal.id, right: right.id })
      const detail = { serial: issued.serialHex, notAfter: issued.notAfter }
      leavings.audit.push({ ...audit, action: 'certificate.issue', detail })
    }
    return { principal, repeated: false, certificate: issued?.der }
  }

  async #look(db: Kysely<Tables>, right: Right, bid: Bid): Promise<Redeemed | { offer: Offer }> {
    await right.prove(db, bid)
    return (await this.#repeated(db, right.id, bid)) ?? { offer: await right.offer(db, bid) }
  }

  async #repeated(db: Kysely<Tables>, rightId: string, bid: Bid): Promise<Redeemed | undefined> {
    const [use] = await useOf.execute(db, { rightId, spki: bid.spkiSha256 })
    if (!use) return undefined
    const principal = await loadPrincipal(db, use.principal_id)
    if (principal.revokedAt !== undefined)
      throw new AditError('revoked', `${principal.name} was revoked.`, 'Make new keys and enrol with a new claim.')
    if (use.tunnel_key !== (tunnelKeyOf(principal.kind, bid) ?? null)) {
      throw new AditError(
        'request-refused',
        'This key was enrolled with another tunnel key.',
        'Repeat the request as it was first made.',
      )
    }
    const certificate = await db
      .selectFrom('certificates')
      .select('der')
      .where('right_id', '=', rightId)
      .where('spki', '=', bid.spkiSha256)
      .executeTakeFirst()
    return { principal, repeated: true, certificate: certificate && Uint8Array.from(certificate.der) }
  }
}

/** A station has no tunnel: a key of it is nobody's. */
const tunnelKeyOf = (role: PrincipalKind, { tunnelKey }: Bid): string | undefined => (role === 'station' ? undefined : tunnelKey)
