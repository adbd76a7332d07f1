import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { decodeSign1 } from '#shared/fleet/cose-sign1.ts'
import { STATEMENT_LIMIT, type Statement, subjectOf } from '#shared/fleet/statement.ts'
import { decodeBody } from '#shared/fleet/statement-body.ts'
import { writeAudit } from './audit-log.ts'
import { SettingStore } from './settings.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

/** A statement under the administrator's key, as it came. */
export interface StoredStatement {
  /** Ed25519, 64 hex digits. */
  readonly signer: string
  readonly bytes: Uint8Array
  readonly statement: Statement
}

const pinnedKey = 'fleet.key'

/**
 * What the administrator has signed, and the public half of the key: the broker keeps and carries it, and could not make it. In memory
 * too: it is asked for at every connection of a device.
 */
export class StatementStore {
  readonly #context: StoreContext
  readonly #bySubject = new Map<string, StoredStatement>()
  #pinned: Uint8Array | undefined

  private constructor(context: StoreContext) {
    this.#context = context
  }

  static async load(context: StoreContext): Promise<StatementStore> {
    const store = new StatementStore(context)
    const pinned = await new SettingStore(context).get(pinnedKey)
    if (pinned !== undefined) store.#pinned = fromHex(pinned)
    for (const { subject, signer, bytes } of await context.db.selectFrom('statements').selectAll().orderBy('subject').execute())
      store.#bySubject.set(subject, stored(signer, bytes))
    return store
  }

  /** The administrator's public key (Ed25519, 32 bytes); undefined: the broker's own signs. */
  get pinned(): Uint8Array | undefined {
    return this.#pinned
  }

  of(subject: string): StoredStatement | undefined {
    return this.#bySubject.get(subject)
  }

  all(): Iterable<StoredStatement> {
    return this.#bySubject.values()
  }

  /** Resolves after the commit. */
  async pin(key: Uint8Array, actor: string): Promise<void> {
    await this.#write(actor, 'fleet.pin', { key: toHex(key) }, (transaction) => setPinned(transaction, key))
    this.#pinned = key
    this.#context.changed({ kind: 'statements' })
  }

  /** Verified statements, each in place of what was said of its subject, and the key that counts after them. Resolves after the commit. */
  async put(statements: readonly StoredStatement[], key: Uint8Array, actor: string): Promise<void> {
    const subjects = statements.map(({ statement }) => subjectOf(statement))
    await this.#write(actor, 'fleet.sign', { subjects }, async (transaction) => {
      for (const { signer, bytes, statement } of statements) {
        const row = { signer, version: statement.version, not_after: statement.notAfter, bytes }
        await transaction
          .insertInto('statements')
          .values({ subject: subjectOf(statement), ...row })
          .onConflict((conflict) => conflict.column('subject').doUpdateSet(row))
          .execute()
      }
      await setPinned(transaction, key)
    })
    for (const entry of statements) this.#bySubject.set(subjectOf(entry.statement), entry)
    this.#pinned = key
    this.#context.changed({ kind: 'statements' })
  }

  async #write(
    actor: string,
    action: string,
    detail: Record<string, unknown>,
    work: (transaction: WriteTransaction) => Promise<void>,
  ): Promise<void> {
    const { db, clock } = this.#context
    await db.transaction().execute(async (transaction) => {
      await work(transaction)
      await writeAudit(transaction, clock.wall(), { actor, action, subject: 'fleet', detail })
    })
  }
}

const setPinned = (db: WriteTransaction, key: Uint8Array): Promise<void> => new SettingStore({ db }).set(pinnedKey, toHex(key))

function stored(signer: string, bytes: Uint8Array): StoredStatement {
  const copy = Uint8Array.from(bytes)
  return { signer, bytes: copy, statement: decodeBody(decodeSign1(copy, STATEMENT_LIMIT).payload) }
}
