import type { Kysely, Selectable } from 'kysely'
import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { expandPattern, hasCounter } from '#shared/enrolment/name.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { FixedQuery } from '#shared/platform/fixed-query.ts'
import { type ClaimRole, parseRate, roleOf } from './claim-row.ts'
import { nextName } from './enlist.ts'
import { assertRole, type Bid, type Offer, type Right } from './right.ts'
import type { ClaimRow, Tables } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'

/** What a claim's holder shows. */
export interface ClaimCredentials {
  /** 16 hex digits: the user name of HTTP Basic. */
  readonly id: string
  /** 16 bytes. */
  readonly secret: Uint8Array
}

const claimOf = new FixedQuery((db: Kysely<Tables>, { id }: { id: string }) =>
  db.selectFrom('claims').selectAll().where('id', '=', id),
)

export const rightIdOf = (claimId: string): string => `claim:${claimId.toLowerCase()}`

/** The right that a claim's credentials give. `expected`: what the holder means to become, where it says so. */
export class ClaimRight implements Right {
  readonly id: string
  readonly #claimId: string
  readonly #secret: Uint8Array
  readonly #expected: ClaimRole | undefined
  readonly #context: Pick<StoreContext, 'clock' | 'suite'>
  /** As `prove` has found it, in the same transaction where there is one. */
  #claim: Selectable<ClaimRow> | undefined

  constructor({ id, secret }: ClaimCredentials, expected: ClaimRole | undefined, context: Pick<StoreContext, 'clock' | 'suite'>) {
    this.id = rightIdOf(id)
    this.#claimId = id.toLowerCase()
    this.#secret = secret
    this.#expected = expected
    this.#context = context
  }

  async prove(db: Kysely<Tables>, { shownAt }: Bid): Promise<void> {
    const [claim] = await claimOf.execute(db, { id: this.#claimId })
    if (!isSecretOf(claim, this.#secret, this.#context.suite) || claim === undefined)
      throw new AditError('claim-unknown', 'This broker does not know that claim.', askForAnother)
    assertRole(roleOf(claim), this.#expected)
    if (claim.revoked_at !== null) throw new AditError('claim-revoked', 'This claim was revoked.', askForAnother)
    if (shownAt >= claim.expires_at) throw new AditError('claim-expired', 'This claim has expired.', askForAnother)
    this.#claim = claim
  }

  async offer(db: Kysely<Tables>, { statedSerial }: Bid): Promise<Offer> {
    const claim = this.#proven()
    if (claim.used >= claim.uses) throw usedUp(roleOf(claim))
    const serial = claim.serials === null ? undefined : await this.#listedSerial(db, claim.serials, statedSerial)
    await this.#assertPace(db, claim.rate)
    return {
      role: roleOf(claim),
      ...(claim.name !== null && { name: claim.name }),
      tags: JSON.parse(claim.tags) as string[],
      groups: JSON.parse(claim.groups) as string[],
      admin: claim.admin === 1,
      approval: claim.approval === 1,
      left: claim.uses - claim.used,
      ...(serial !== undefined && { serial }),
    }
  }

  async burn(transaction: WriteTransaction, { spkiSha256, shownAt }: Bid, wished: string | undefined): Promise<string> {
    const claim = this.#proven()
    const { name, counter } = wished === undefined ? await this.#nameFor(transaction, claim, spkiSha256) : { name: wished }
    const burnt = await transaction
      .updateTable('claims')
      .set((expression) => ({ used: expression('used', '+', 1), ...(counter !== undefined && { counter }) }))
      .where('id', '=', this.#claimId)
      .where('used', '<', claim.uses)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', shownAt)
      .executeTakeFirst()
    if (burnt.numUpdatedRows !== 1n) throw usedUp(roleOf(claim))
    return name
  }

  #proven(): Selectable<ClaimRow> {
    if (this.#claim === undefined) throw new Error('a claim must be proven before it is used')
    return this.#claim
  }

  /** Each listed number enrols once: whoever copies the claim out of one unit can be that unit at most. */
  async #listedSerial(db: Kysely<Tables>, list: string, stated: string | undefined): Promise<string> {
    const serial = stated === undefined ? undefined : tryCheckSerial(stated)
    if (serial === undefined || !(JSON.parse(list) as string[]).includes(serial)) {
      const said = serial === undefined ? 'This request says no serial number' : `${serial} is not among its serial numbers`
      throw new AditError('claim-wrong-serial', `This claim is for listed units alone: ${said}.`, serialMend)
    }
    const before = await db
      .selectFrom('right_uses')
      .select('spki')
      .where('right_id', '=', this.id)
      .where('serial', '=', serial)
      .executeTakeFirst()
    if (before === undefined) return serial
    throw new AditError('claim-used', `Unit ${serial} has enrolled by this claim before, with another key.`, askForAnother)
  }

  async #assertPace(db: Kysely<Tables>, rate: string | null): Promise<void> {
    if (rate === null) return
    const { count, span } = parseRate(rate)
    const { used } = await db
      .selectFrom('right_uses')
      .select(({ fn }) => fn.countAll<number>().as('used'))
      .where('right_id', '=', this.id)
      .where('at', '>', this.#context.clock.wall() - span)
      .executeTakeFirstOrThrow()
    if (used >= count)
      throw new AditError('rate-limited', `This claim enrols ${rate} at most.`, 'Ask again a little later: nothing was used up.')
  }

  /** `counter`: the number that the name takes of the pattern. */
  async #nameFor(
    transaction: WriteTransaction,
    claim: Selectable<ClaimRow>,
    spkiSha256: string,
  ): Promise<{ name: string; counter?: number }> {
    const role = roleOf(claim)
    if (claim.name === null) return { name: `${role}-${spkiSha256.slice(0, 12)}` }
    if (!hasCounter(claim.name)) return { name: expandPattern(claim.name, 1) }
    const next = await nextName(transaction, role, claim.name, claim.counter)
    if (next) return { name: next.name, counter: next.number }
    throw nameTaken(role, expandPattern(claim.name, claim.counter + 1))
  }
}

export const nameTaken = (kind: ClaimRole, name: string): AditError =>
  new AditError(
    'name-taken',
    `There is a ${kind} of the name ${name} already.`,
    `Choose another name, or revoke it: adit-broker ${kind} revoke ${name}`,
  )

/** An unknown id costs the same as a wrong secret, and is answered alike. */
function isSecretOf(claim: Selectable<ClaimRow> | undefined, secret: Uint8Array, suite: Suite): boolean {
  const offered = suite.hash('sha256', secret)
  return equalConstantTime(offered, claim?.secret_hash ?? new Uint8Array(offered.length))
}

function tryCheckSerial(text: string): string | undefined {
  try {
    return checkSerial(text)
  } catch (error) {
    if (isAditError(error)) return undefined
    throw error
  }
}

const askForAnother = 'Ask for another: adit-broker claim create'
const serialMend = 'Enrol with the number as it stands in the list (adit-agent enrol --serial), or ask for another claim.'
const usedUp = (role: string): AditError =>
  new AditError(
    'claim-used',
    'This claim has been used up.',
    role === 'station'
      ? 'Go on with the folder that it made: adit station status --state DIR. For another station: adit-broker station authorize --help'
      : askForAnother,
  )
