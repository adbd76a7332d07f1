import type { Selectable } from 'kysely'
import { AditError } from '#shared/errors.ts'
import { type RevocationReason, tryParseReason } from '#shared/pki/revocation-reason.ts'
import { writeAudit } from './audit-log.ts'
import { bindKeys } from './enlist.ts'
import type { Lane } from './lane-rows.ts'
import type { Principal } from './principal.ts'
import { loadPrincipal } from './principal-rows.ts'
import type { CertificateRow } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

/** One issued certificate. */
export interface CertificateRecord {
  principalId: number
  /** SHA-256 of the issuer's SPKI, hex. */
  issuerHex: string
  serialHex: string
  spkiSha256Hex: string
  der: Uint8Array
  /** Wall-clock ms. */
  notBefore: number
  notAfter: number
  /** The tunnel key that it binds, 64 hex digits. Becomes the principal's. */
  tunnelKey?: string
  /** Id of the right that it was issued by (`claim:0123…`); absent for a renewal. */
  right?: string
  /** Of a renewal in a lane that is open once: which, and the expired certificate in whose place it comes. */
  lane?: { readonly name: Lane; readonly from: { readonly issuerHex: string; readonly serialHex: string } }
}

/** Every certificate that was given out, and which of them are revoked. */
export class CertificateStore {
  readonly #context: StoreContext
  /** `issuer serial` of certificates revoked one by one; those of a revoked principal are known by their key. */
  readonly #revoked: Set<string>
  #revision = 0

  private constructor(context: StoreContext, revoked: Set<string>) {
    this.#context = context
    this.#revoked = revoked
  }

  static async load(context: StoreContext): Promise<CertificateStore> {
    const rows = await context.db
      .selectFrom('certificates')
      .select(['issuer', 'serial'])
      .where('revoked_at', 'is not', null)
      .execute()
    return new CertificateStore(context, new Set(rows.map(({ issuer, serial }) => `${issuer} ${serial}`)))
  }

  /**
   * Durable before it resolves. Returns the DER that holds: where a certificate for the same (right, key) was recorded first, that
   * one, and the offered one is forgotten (A-46, P-19). Extends the principal's `expiresAt`, binds new keys to it. Throws AditError
   * `revoked` where the principal was revoked meanwhile, `request-refused` or `already-enrolled` where a key belongs to another.
   */
  async record(certificate: CertificateRecord): Promise<Uint8Array> {
    const { db, clock } = this.#context
    const recorded = await db.transaction().execute(async (transaction) => {
      const before = await loadPrincipal(transaction, certificate.principalId)
      if (before.revokedAt !== undefined) {
        throw new AditError('revoked', `${before.name} was revoked.`, 'Make new keys and enrol with a new claim.')
      }
      if (certificate.right !== undefined) {
        const earlier = await transaction
          .selectFrom('certificates')
          .select('der')
          .where('right_id', '=', certificate.right)
          .where('spki', '=', certificate.spkiSha256Hex)
          .executeTakeFirst()
        if (earlier) return { der: Uint8Array.from(earlier.der) }
      }
      const { spkiSha256Hex: spkiSha256, tunnelKey } = certificate
      await bindKeys(this.#context, transaction, before.id, { spkiSha256, tunnelKey })
      await insertCertificates(transaction, [certificate], clock.wall())
      if (certificate.lane) await insertLaneRenewal(transaction, certificate, certificate.lane, clock.wall())
      await transaction
        .updateTable('principals')
        .set({ expires_at: Math.max(certificate.notAfter, before.expiresAt ?? 0) })
        .where('id', '=', before.id)
        .execute()
      const subject = `${before.kind}:${before.name}`
      await writeAudit(transaction, clock.wall(), {
        actor: certificate.right ?? subject,
        action: certificate.right === undefined ? 'certificate.renew' : 'certificate.issue',
        subject,
        detail: { serial: certificate.serialHex, notAfter: certificate.notAfter },
        ...(before.kind === 'device' ? { deviceId: before.id } : {}),
      })
      return { der: certificate.der, principal: await loadPrincipal(transaction, before.id) }
    })
    if (recorded.principal) this.#context.changed({ kind: 'changed', principal: recorded.principal })
    return recorded.der
  }

  /** Synchronous. By identity key, or by (issuer, serial), never by certificate hash. */
  isRevoked({ spkiSha256Hex, issuerHex, serialHex }: { spkiSha256Hex: string; issuerHex: string; serialHex: string }): boolean {
    if (this.#revoked.has(`${issuerHex} ${serialHex}`)) return true
    return this.#context.directory.bySpki(spkiSha256Hex)?.revokedAt !== undefined
  }

  async list(principalId: number): Promise<(CertificateRecord & { revokedAt?: number })[]> {
    const rows = await this.#context.db
      .selectFrom('certificates')
      .selectAll()
      .where('principal_id', '=', principalId)
      .orderBy('not_before')
      .orderBy('serial')
      .execute()
    return rows.map(toRecord)
  }

  /** Another number after each revocation, of a certificate, a principal or a station. */
  get revision(): number {
    return this.#revision
  }

  /** A principal with all its certificates has been revoked, or a station with its CA. */
  revokedWithPrincipal(): void {
    this.#revision++
  }

  /** What is said of a certificate to whoever asks; undefined: none such was given out. */
  async statusOf(issuerHex: string, serialHex: string): Promise<{ revokedAt?: number; reason?: RevocationReason } | undefined> {
    const row = await this.#context.db
      .selectFrom('certificates')
      .select(['principal_id', 'revoked_at', 'revoke_reason'])
      .where('issuer', '=', issuerHex)
      .where('serial', '=', serialHex)
      .executeTakeFirst()
    if (row === undefined) return undefined
    const revokedAt = row.revoked_at ?? this.#context.directory.byId(row.principal_id)?.revokedAt
    const reason = tryParseReason(row.revoke_reason)
    return { ...(revokedAt !== undefined && { revokedAt }), ...(reason && { reason }) }
  }

  /** Certificates of the issuer that are revoked and not yet expired at `now`, the newest revocations first. */
  async revokedOf(
    issuerHex: string,
    now: number,
    limit: number,
  ): Promise<{ serialHex: string; at: number; reason?: RevocationReason }[]> {
    const rows = await this.#context.db
      .selectFrom('certificates')
      .select(['serial', 'revoked_at', 'revoke_reason'])
      .where('issuer', '=', issuerHex)
      .where('revoked_at', 'is not', null)
      .where('not_after', '>=', now)
      .orderBy('revoked_at', 'desc')
      .limit(limit)
      .execute()
    return rows.map(({ serial, revoked_at, revoke_reason }) => {
      const reason = tryParseReason(revoke_reason)
      return { serialHex: serial, at: revoked_at as number, ...(reason && { reason }) }
    })
  }

  /** One certificate alone; its principal stays. Throws AditError `not-found`. */
  async revoke(issuerHex: string, serialHex: string, actor = 'broker', reason?: RevocationReason): Promise<void> {
    const { db, clock } = this.#context
    const principal = await db.transaction().execute(async (transaction): Promise<Principal> => {
      const now = clock.wall()
      const row = await transaction
        .updateTable('certificates')
        .set({ revoked_at: now, revoke_reason: reason ?? null })
        .where('issuer', '=', issuerHex)
        .where('serial', '=', serialHex)
        .returning('principal_id')
        .executeTakeFirst()
      if (!row)
        throw new AditError('not-found', `There is no certificate of the serial ${serialHex.slice(0, 64)}.`, 'Check the serial.')
      await this.#shorten(transaction, row.principal_id, now)
      const owner = await loadPrincipal(transaction, row.principal_id)
      const entry = { actor, action: 'certificate.revoke', subject: `${owner.kind}:${owner.name}`, detail: { serial: serialHex } }
      await writeAudit(transaction, now, { ...entry, ...(owner.kind === 'device' ? { deviceId: owner.id } : {}) })
      return owner
    })
    this.#revoked.add(`${issuerHex} ${serialHex}`)
    this.#revision++
    this.#context.changed({ kind: 'changed', principal })
  }

  /** The principal is admitted as long as its best unrevoked certificate lives, and not at all without one. */
  async #shorten(transaction: WriteTransaction, principalId: number, now: number): Promise<void> {
    const best = await transaction
      .selectFrom('certificates')
      .select(({ fn }) => fn.max('not_after').as('notAfter'))
      .where('principal_id', '=', principalId)
      .where('revoked_at', 'is', null)
      .executeTakeFirst()
    await transaction
      .updateTable('principals')
      .set({ expires_at: best?.notAfter ?? now })
      .where('id', '=', principalId)
      .execute()
  }
}

/** The rows alone, within the transaction that makes their principals. */
export async function insertCertificates(
  transaction: WriteTransaction,
  certificates: readonly CertificateRecord[],
  now: number,
): Promise<void> {
  if (certificates.length === 0) return
  const rows = certificates.map((certificate) => toRow(certificate, now))
  await transaction.insertInto('certificates').values(rows).execute()
}

async function insertLaneRenewal(
  transaction: WriteTransaction,
  { issuerHex: issuer, serialHex: serial, principalId: principal_id }: CertificateRecord,
  { name, from }: NonNullable<CertificateRecord['lane']>,
  at: number,
): Promise<void> {
  const before = { from_issuer: from.issuerHex, from_serial: from.serialHex }
  const row = { issuer, serial, principal_id, lane: name, ...before, at, shown_at: null }
  await transaction.insertInto('lane_renewals').values(row).execute()
}

const toRow = (certificate: CertificateRecord, now: number): CertificateRow => ({
  issuer: certificate.issuerHex,
  serial: certificate.serialHex,
  principal_id: certificate.principalId,
  spki: certificate.spkiSha256Hex,
  der: certificate.der,
  not_before: certificate.notBefore,
  not_after: certificate.notAfter,
  recorded_at: now,
  right_id: certificate.right ?? null,
  revoked_at: null,
  revoke_reason: null,
})

const toRecord = (row: Selectable<CertificateRow>): CertificateRecord & { revokedAt?: number } => ({
  principalId: row.principal_id,
  issuerHex: row.issuer,
  serialHex: row.serial,
  spkiSha256Hex: row.spki,
  der: Uint8Array.from(row.der),
  notBefore: row.not_before,
  notAfter: row.not_after,
  ...(row.right_id === null ? {} : { right: row.right_id }),
  ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
})
