import type { Kysely, Selectable } from 'kysely'
import { expandPattern, hasCounter } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { isNameTaken, nextName } from './enlist.ts'
import type { VoucherRow } from './factory-rows.ts'
import type { Principal } from './principal.ts'
import type { Bid, Offer, Right } from './right.ts'
import type { Tables } from './schema.ts'
import type { WriteTransaction } from './store-context.ts'

/**
 * The right of a board that has proven its IDevID and belongs here by a voucher: to become one device. Another key of the same board gets
 * nothing while that device lives, nor after it, without an operator's word.
 */
export class IdevidRight implements Right {
  readonly id: string
  readonly #row: Selectable<VoucherRow>
  /** As `prove` has found it, in the same transaction where there is one. */
  #proven: Selectable<VoucherRow>

  constructor(row: Selectable<VoucherRow>) {
    this.#row = row
    this.#proven = row
    this.id = `idevid:${row.serial}@${row.digest.slice(0, 16)}.${row.leave}`
  }

  async prove(db: Kysely<Tables>, { shownAt }: Bid): Promise<void> {
    this.#proven = await this.#present(db)
    const { expires_on: end } = this.#proven
    if (end !== null && shownAt > end)
      throw new AditError('voucher-expired', 'The voucher of this board has ended.', 'Ask the maker of the board for a new one.')
  }

  async offer(db: Kysely<Tables>): Promise<Offer> {
    const row = this.#proven
    if (row.principal_id !== null) throw used()
    const name = row.name ?? (await this.#ownName(db))
    return {
      role: 'device',
      ...(name !== undefined && { name }),
      tags: JSON.parse(row.tags) as string[],
      groups: [],
      admin: false,
      approval: false,
      left: 1,
      serial: row.serial,
    }
  }

  async burn(transaction: WriteTransaction, { spkiSha256 }: Bid, wished: string | undefined): Promise<string> {
    const row = this.#proven
    if (row.principal_id !== null) throw used()
    if (wished !== undefined) return wished
    if (row.name === null) return (await this.#ownName(transaction)) ?? `device-${spkiSha256.slice(0, 12)}`
    return hasCounter(row.name) ? this.#counted(transaction, row.name) : expandPattern(row.name, 1)
  }

  /** The device that its board has become. A voucher's end is that of enrolling, not of coming back. */
  async holder(db: Kysely<Tables>): Promise<number | undefined> {
    return (await this.#present(db)).principal_id ?? undefined
  }

  async enlisted(transaction: WriteTransaction, { id }: Principal): Promise<void> {
    await this.#put(transaction, { principal_id: id })
  }

  async #put(transaction: WriteTransaction, change: Partial<VoucherRow>): Promise<void> {
    const { factory, serial } = this.#row
    await transaction.updateTable('vouchers').set(change).where('factory', '=', factory).where('serial', '=', serial).execute()
  }

  /** The row as it was when the board proved itself: an import or an operator's word in between makes another right of it. */
  async #present(db: Kysely<Tables>): Promise<Selectable<VoucherRow>> {
    const { factory, serial, digest, leave } = this.#row
    const row = await db
      .selectFrom('vouchers')
      .selectAll()
      .where('factory', '=', factory)
      .where('serial', '=', serial)
      .where('digest', '=', digest)
      .where('leave', '=', leave)
      .executeTakeFirst()
    if (row === undefined)
      throw new AditError('certificate-refused', 'The broker does not accept this certificate.', 'Ask again in a moment.')
    return row
  }

  /** The serial number where it can be a name and is nobody's; with everything that no name has as a hyphen. */
  async #ownName(db: Kysely<Tables>): Promise<string | undefined> {
    const name = this.#row.serial.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
    const isName = name.length >= 1 && name.length <= 63
    return isName && !(await isNameTaken(db as WriteTransaction, 'device', name)) ? name : undefined
  }

  async #counted(transaction: WriteTransaction, pattern: string): Promise<string> {
    const { last } = await transaction
      .selectFrom('vouchers')
      .select(({ fn }) => fn.max('counter').as('last'))
      .where('name', '=', pattern)
      .executeTakeFirstOrThrow()
    const next = await nextName(transaction, 'device', pattern, last ?? 0)
    if (next === undefined)
      throw new AditError('name-taken', `The names of ${pattern} are taken.`, 'Import the voucher again with another --name.')
    await this.#put(transaction, { counter: next.number })
    return next.name
  }
}

const used = (): AditError =>
  new AditError(
    'already-enrolled',
    'This board has enrolled before, with another key.',
    "Ask the broker's operator for leave: adit-broker voucher again SERIAL.",
  )
