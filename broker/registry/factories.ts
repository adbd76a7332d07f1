import { toHex } from '#shared/bytes/hex.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { writeAudit } from './audit-log.ts'
import type { StoreContext } from './store-context.ts'

/** A maker of boards whose word counts here. */
export interface Factory {
  /** SHA-256 of the root's DER, hex. */
  readonly fingerprint: string
  readonly root: Certificate
  /** Wall-clock ms. */
  readonly addedAt: number
}

/** Roots of makers whose IDevIDs may ask to enrol and whose vouchers are taken. In memory too: every such request is judged by them. */
export class FactoryStore {
  readonly #context: StoreContext
  readonly #factories = new Map<string, Factory>()

  private constructor(context: StoreContext) {
    this.#context = context
  }

  static async load(context: StoreContext): Promise<FactoryStore> {
    const store = new FactoryStore(context)
    for (const { der, added_at } of await context.db.selectFrom('factories').selectAll().orderBy('added_at').execute())
      store.#put(parseCertificate(Uint8Array.from(der)), added_at)
    return store
  }

  all(): Factory[] {
    return [...this.#factories.values()]
  }

  get roots(): Certificate[] {
    return this.all().map(({ root }) => root)
  }

  /** Of one of `roots`. */
  fingerprintOf({ der }: Certificate): string {
    return toHex(this.#context.suite.hash('sha256', der))
  }

  /** Resolves after the commit; a second time changes nothing. */
  async trust(root: Certificate, actor: string): Promise<Factory> {
    const { db, clock } = this.#context
    const fingerprint = this.fingerprintOf(root)
    const known = this.#factories.get(fingerprint)
    if (known) return known
    const now = clock.wall()
    await db.transaction().execute(async (transaction) => {
      const row = { fingerprint, der: root.der, added_at: now }
      const { numInsertedOrUpdatedRows } = await transaction
        .insertInto('factories')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirstOrThrow()
      // Somebody else was told the same at the same time, and came first.
      if (numInsertedOrUpdatedRows === 0n) return
      await writeAudit(transaction, now, { actor, action: 'factory.trust', subject: `factory:${fingerprint.slice(0, 16)}` })
    })
    return this.#factories.get(fingerprint) ?? this.#put(root, now)
  }

  /** By its fingerprint or the beginning of one, 8 digits at least. Boards that have enrolled stay. Throws AditError `not-found`. */
  async remove(text: string, actor: string): Promise<Factory> {
    const prefix = text.toLowerCase()
    const found = this.all().filter(({ fingerprint }) => prefix.length >= 8 && fingerprint.startsWith(prefix))
    const [factory, ...others] = found
    if (factory === undefined || others.length > 0)
      throw new AditError('not-found', 'There is no one factory of that fingerprint.', 'See: adit-broker factory list')
    const { db, clock } = this.#context
    await db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('factories').where('fingerprint', '=', factory.fingerprint).execute()
      const subject = `factory:${factory.fingerprint.slice(0, 16)}`
      await writeAudit(transaction, clock.wall(), { actor, action: 'factory.remove', subject })
    })
    this.#factories.delete(factory.fingerprint)
    return factory
  }

  #put(root: Certificate, addedAt: number): Factory {
    const factory = { fingerprint: this.fingerprintOf(root), root, addedAt }
    this.#factories.set(factory.fingerprint, factory)
    return factory
  }
}
