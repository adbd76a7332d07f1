import type { Selectable } from 'kysely'
import { checkNamePattern } from '#shared/enrolment/name.ts'
import type { SignedVoucher } from '#shared/enrolment/signed-voucher.ts'
import { AditError } from '#shared/errors.ts'
import { writeAudit } from './audit-log.ts'
import type { VoucherRow } from './factory-rows.ts'
import { IdevidRight } from './idevid-right.ts'
import { checkLabels } from './label.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

/** A board's newest voucher as a list shows it. */
export interface StoredVoucher {
  readonly serial: string
  /** SHA-256 of the maker's root, hex. */
  readonly factory: string
  /** Wall-clock ms. */
  readonly createdOn: number
  readonly expiresOn: number | undefined
  readonly importedAt: number
  /** A name or a pattern. */
  readonly name: string | undefined
  readonly tags: readonly string[]
  /** The device that its board has become. */
  readonly principalId: number | undefined
  /** CMS DER. */
  readonly cms: Uint8Array
}

/** What is taken in. */
export interface VoucherImport {
  readonly signed: SignedVoucher
  /** CMS DER. */
  readonly cms: Uint8Array
  /** SHA-256 of the maker's root, hex. */
  readonly factory: string
}

/** How the devices are to be called and marked that the boards become. */
export interface BoardWish {
  /** A name, or a pattern with a counter; without one, names are made from serial numbers. */
  readonly name?: string | undefined
  readonly tags?: readonly string[]
}

/** Which boards belong to this fleet, by the word of their makers: a voucher is its board's right to enrol, once. */
export class VoucherStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  async list(): Promise<StoredVoucher[]> {
    return (await this.#context.db.selectFrom('vouchers').selectAll().orderBy('serial').orderBy('factory').execute()).map(
      toStored,
    )
  }

  async of(factory: string, serial: string): Promise<StoredVoucher | undefined> {
    const row = await this.#row(factory, serial)
    return row && toStored(row)
  }

  /** All or none, durable when it resolves. Throws AditError `voucher-replayed`, `voucher-doubled`, `already-enrolled` or `name-invalid`. */
  async import(vouchers: readonly VoucherImport[], wish: BoardWish, actor: string): Promise<StoredVoucher[]> {
    const name = wish.name === undefined ? null : checkNamePattern(wish.name)
    const tags = JSON.stringify(checkLabels('tag', wish.tags ?? []))
    const now = this.#context.clock.wall()
    const rows = await this.#context.db.transaction().execute(async (transaction) => {
      const taken: Selectable<VoucherRow>[] = []
      for (const voucher of vouchers) taken.push(await this.#take(transaction, voucher, { name, tags, now, actor }))
      return taken
    })
    return rows.map(toStored)
  }

  /** The right of a board that has proven its IDevID; undefined where no voucher says that it belongs here. */
  async right({ factory, serial }: { factory: string; serial: string }): Promise<IdevidRight | undefined> {
    const row = await this.#row(factory, serial)
    return row && new IdevidRight(row)
  }

  /**
   * An operator's word that a board may enrol once more by the voucher that is there, with keys that are new. Throws AditError
   * `not-found`, or `already-enrolled` while the device that it became is alive.
   */
  async again(serial: string, actor: string): Promise<StoredVoucher> {
    return this.#change(serial, actor, 'voucher.again', async (transaction, row) => {
      await this.#assertGone(transaction, row)
      const fresh = { principal_id: null, leave: row.leave + 1 }
      await this.#where(transaction.updateTable('vouchers').set(fresh), row).execute()
      return { ...row, ...fresh }
    })
  }

  /** The board may not enrol from now on; the device that it became stays. Throws AditError `not-found`. */
  async remove(serial: string, actor: string): Promise<StoredVoucher> {
    return this.#change(serial, actor, 'voucher.remove', async (transaction, row) => {
      await this.#where(transaction.deleteFrom('vouchers'), row).execute()
      return row
    })
  }

  async #take(
    transaction: WriteTransaction,
    { signed: { voucher, digest }, cms, factory }: VoucherImport,
    { name, tags, now, actor }: { name: string | null; tags: string; now: number; actor: string },
  ): Promise<Selectable<VoucherRow>> {
    const { serial, createdOn, expiresOn } = voucher
    const before = await transaction
      .selectFrom('vouchers')
      .selectAll()
      .where('factory', '=', factory)
      .where('serial', '=', serial)
      .executeTakeFirst()
    if (before && createdOn < before.created_on) throw older(serial)
    if (before && createdOn === before.created_on && digest !== before.digest) throw doubled(serial)
    const isNew = before?.digest !== digest
    if (before && isNew) await this.#assertGone(transaction, before)
    const row: VoucherRow = {
      factory,
      serial,
      created_on: createdOn,
      expires_on: expiresOn ?? null,
      digest,
      cms,
      name,
      counter: isNew ? 0 : before.counter,
      tags,
      imported_at: now,
      leave: isNew ? 0 : before.leave,
      principal_id: isNew ? null : before.principal_id,
    }
    await transaction
      .insertInto('vouchers')
      .values(row)
      .onConflict((conflict) => conflict.columns(['factory', 'serial']).doUpdateSet(row))
      .execute()
    const detail = { factory: factory.slice(0, 16), createdOn, name: name ?? undefined }
    await writeAudit(transaction, now, { actor, action: 'voucher.import', subject: `board:${serial}`, detail })
    return row
  }

  async #change(
    serial: string,
    actor: string,
    action: string,
    work: (transaction: WriteTransaction, row: Selectable<VoucherRow>) => Promise<Selectable<VoucherRow>>,
  ): Promise<StoredVoucher> {
    return this.#context.db.transaction().execute(async (transaction) => {
      const rows = await transaction.selectFrom('vouchers').selectAll().where('serial', '=', serial).execute()
      const [row, ...others] = rows
      if (row === undefined)
        throw new AditError('not-found', `There is no voucher of ${serial}.`, 'See: adit-broker voucher list')
      if (others.length > 0)
        throw new AditError(
          'usage',
          `Two makers have a board ${serial}.`,
          'Remove one of them first: adit-broker factory remove.',
        )
      const changed = await work(transaction, row)
      await writeAudit(transaction, this.#context.clock.wall(), { actor, action, subject: `board:${serial}` })
      return toStored(changed)
    })
  }

  /** A device that lives is not taken over, whoever its board now belongs to. */
  async #assertGone(transaction: WriteTransaction, { serial, principal_id }: Selectable<VoucherRow>): Promise<void> {
    if (principal_id === null) return
    const device = await transaction
      .selectFrom('principals')
      .select(['name', 'revoked_at'])
      .where('id', '=', principal_id)
      .executeTakeFirst()
    if (device === undefined || device.revoked_at !== null) return
    throw new AditError(
      'already-enrolled',
      `The board ${serial} is the device ${device.name}, which lives.`,
      `End it first: adit-broker device revoke ${device.name}`,
    )
  }

  #row(factory: string, serial: string): Promise<Selectable<VoucherRow> | undefined> {
    return this.#context.db
      .selectFrom('vouchers')
      .selectAll()
      .where('factory', '=', factory)
      .where('serial', '=', serial)
      .executeTakeFirst()
  }

  #where<Query extends { where(column: 'factory' | 'serial', operator: '=', value: string): Query }>(
    query: Query,
    { factory, serial }: { factory: string; serial: string },
  ): Query {
    return query.where('factory', '=', factory).where('serial', '=', serial)
  }
}

const toStored = (row: Selectable<VoucherRow>): StoredVoucher => ({
  serial: row.serial,
  factory: row.factory,
  createdOn: row.created_on,
  expiresOn: row.expires_on ?? undefined,
  importedAt: row.imported_at,
  name: row.name ?? undefined,
  tags: JSON.parse(row.tags) as string[],
  principalId: row.principal_id ?? undefined,
  cms: Uint8Array.from(row.cms),
})

const older = (serial: string): AditError =>
  new AditError(
    'voucher-replayed',
    `A newer voucher of ${serial} is here already.`,
    'Keep that one, or ask the maker for another.',
  )

const doubled = (serial: string): AditError =>
  new AditError(
    'voucher-doubled',
    `Another voucher of ${serial} from the same moment is here already.`,
    'Ask the maker of the board for a new one: neither of the two is to be guessed at.',
  )
