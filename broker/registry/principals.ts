import { checkName, escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import type { RevocationReason } from '#shared/pki/revocation-reason.ts'
import { writeAudit } from './audit-log.ts'
import { enlist } from './enlist.ts'
import { type GrantStore, withdrawSubject } from './grants.ts'
import { checkLabels } from './label.ts'
import { eraseSecrets } from './peer-secrets.ts'
import type { DataPlan, Principal } from './principal.ts'
import { loadPrincipal } from './principal-rows.ts'
import { revokePrincipal } from './revoke-principal.ts'
import type { StoreContext } from './store-context.ts'

export interface NewWireguardPeer {
  name: string
  /** 64 hex digits. */
  tunnelKey: string
  tags?: readonly string[]
  /** Wall-clock ms. */
  expiresAt?: number
}

/** The devices, or the operators. Names are as typed; an unknown one is AditError `device-unknown` or `not-found`. */
export class PrincipalStore {
  readonly #context: StoreContext
  readonly #kind: 'device' | 'operator'
  readonly #grants: GrantStore

  constructor(context: StoreContext, kind: 'device' | 'operator', grants: GrantStore) {
    this.#context = context
    this.#kind = kind
    this.#grants = grants
  }

  list(): Principal[] {
    return [...this.#context.directory.all(this.#kind)]
  }

  /** The live one of that name, else the last revoked one; throws where there is neither. */
  get(name: string): Principal {
    const found = this.#context.directory.byName(this.#kind, name.toLowerCase())
    if (found) return found
    const code = this.#kind === 'device' ? 'device-unknown' : 'not-found'
    throw new AditError(code, `There is no ${this.#kind} of the name ${escapeText(name)}.`, `See: adit-broker ${this.#kind} list`)
  }

  /** A stock WireGuard peer: no certificate, an expiry of its own. Throws `name-taken`, `request-refused` (key in use), `revoked`. */
  async addWireguard(peer: NewWireguardPeer, actor = 'broker'): Promise<Principal> {
    const { db, clock } = this.#context
    const name = checkName(peer.name)
    const tags = checkLabels('tag', peer.tags ?? [])
    const principal = await db.transaction().execute(async (transaction) => {
      const added = await enlist(this.#context, transaction, {
        kind: this.#kind,
        name,
        tunnelKey: peer.tunnelKey.toLowerCase(),
        tags,
        groups: [],
        admin: false,
        stock: true,
        expiresAt: peer.expiresAt ?? null,
      })
      const subject = `${this.#kind}:${name}`
      const detail = { wireguard: added.tunnelKey, addresses: added.addresses }
      await writeAudit(transaction, clock.wall(), { actor, action: `${this.#kind}.add`, subject, detail, ...this.#about(added) })
      return added
    })
    this.#context.changed({ kind: 'added', principal })
    return principal
  }

  /** For ever: its keys and secrets, its certificates, and the grants to an operator or site of that name. A second time changes nothing. */
  async revoke(name: string, actor = 'broker', reason?: RevocationReason): Promise<Principal> {
    const { db, clock, secrets } = this.#context
    const { id, revokedAt } = this.get(name)
    if (revokedAt !== undefined) return this.get(name)
    const now = clock.wall()
    const { principal, grants } = await db.transaction().execute(async (transaction) => {
      await revokePrincipal(transaction, id, now, reason)
      await eraseSecrets(transaction, id)
      const revoked = await loadPrincipal(transaction, id)
      // A later one of the same name must not inherit what this one was granted.
      const withdrawn = await withdrawSubject(transaction, this.#kind, revoked.name, now)
      const subject = `${this.#kind}:${revoked.name}`
      const why = reason === undefined ? {} : { detail: { reason } }
      await writeAudit(transaction, now, { actor, action: `${this.#kind}.revoke`, subject, ...why, ...this.#about(revoked) })
      return { principal: revoked, grants: withdrawn }
    })
    secrets.forget(id)
    this.#context.changed({ kind: 'revoked', principal })
    if (grants > 0) {
      await this.#grants.reload()
      this.#context.changed({ kind: 'grants' })
    }
    return principal
  }

  async tag(name: string, add: readonly string[], remove: readonly string[], actor = 'broker'): Promise<Principal> {
    const { db, clock } = this.#context
    const { id, name: subject } = this.get(name)
    const added = checkLabels('tag', add)
    const principal = await db.transaction().execute(async (transaction) => {
      for (const tag of added) {
        await transaction
          .insertInto('tags')
          .values({ principal_id: id, tag })
          .onConflict((conflict) => conflict.doNothing())
          .execute()
      }
      if (remove.length > 0)
        await transaction.deleteFrom('tags').where('principal_id', '=', id).where('tag', 'in', remove).execute()
      const changed = await loadPrincipal(transaction, id)
      const entry = { actor, action: `${this.#kind}.tag`, subject: `${this.#kind}:${subject}`, detail: { tags: changed.tags } }
      await writeAudit(transaction, clock.wall(), { ...entry, ...this.#about(changed) })
      return changed
    })
    this.#context.changed({ kind: 'changed', principal })
    return principal
  }

  /** What its tunnel's data may cost; undefined: nobody has a wish any more. The device is told at once. */
  async setData(name: string, plan: DataPlan | undefined, actor = 'broker'): Promise<Principal> {
    const { db, clock } = this.#context
    const { id, name: subject } = this.get(name)
    const principal = await db.transaction().execute(async (transaction) => {
      const row = { data_plan: plan === undefined ? null : JSON.stringify(plan) }
      await transaction.updateTable('principals').set(row).where('id', '=', id).execute()
      const changed = await loadPrincipal(transaction, id)
      const entry = { actor, action: `${this.#kind}.data`, subject: `${this.#kind}:${subject}`, detail: { data: plan ?? null } }
      await writeAudit(transaction, clock.wall(), { ...entry, ...this.#about(changed) })
      return changed
    })
    this.#context.changed({ kind: 'changed', principal })
    return principal
  }

  #about(principal: Principal): { deviceId?: number } {
    return principal.kind === 'device' ? { deviceId: principal.id } : {}
  }
}
