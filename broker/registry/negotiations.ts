import { type Selectable, sql } from 'kysely'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { CommitBatcher } from '#shared/platform/commit-batcher.ts'
import { elapsed, type Instant, minutes, seconds } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Principal } from './principal.ts'
import type { NegotiationRow } from './schema.ts'
import type { StoreContext } from './store-context.ts'

/** One negotiation of IKE that came to nothing. */
export interface NegotiationRecord {
  readonly id: number
  /** Wall-clock ms. */
  readonly at: number
  /** Whose it was, as far as the claimed identity tells; it need not be proven. */
  readonly principalId: number | undefined
  /** How often it happened since the last row that says the same, this time included. */
  readonly times: number
  readonly failure: NegotiationFailure
}

export interface NegotiationQuery {
  /** Of this principal; `null`: of those whose peer is not known. */
  principalId?: number | null
  /** From these addresses, without port. */
  addresses?: readonly string[]
  /** Wall-clock ms from which on. */
  since?: number
  /** Rows after this id; without it the newest come. */
  after?: number
  /** 100 unless said otherwise, 1,000 at most. */
  limit?: number
}

/** Rows kept, the oldest going first; strangers may fill half of them at most, so that they cannot wash a peer's own away. */
const mostRows = 1_000
const mostStrangers = 500
/** The same failure of the same peer or source is written once, then counted for so long. */
const repeatAfter = seconds(10)
/** The same one told in other words, as when a person has changed something and tries again, waits only for so long. */
const rewordedAfter = seconds(0.5)
const mostRemembered = 2_048
/** Rows a second that all failures may cost together: anybody can send IKE_SA_INIT. */
const rowRate = 10
const rowBurst = 100

/** How long a failure without any name is taken for whoever is asked about. */
const recent = minutes(15)

interface Repeat {
  writtenAt: Instant
  /** Happenings since then. */
  unwritten: number
  message: string
}

/** What failed between the broker and stock IPsec peers, bounded in rows, rate and length whatever strangers do. */
export class NegotiationStore {
  /** Failures that found no room. */
  suppressed = 0
  readonly #context: StoreContext
  readonly #batcher: CommitBatcher<Omit<Selectable<NegotiationRow>, 'id'>, void>
  readonly #repeats = new Map<string, Repeat>()
  readonly #rows = new TokenBucket(rowRate, rowBurst)

  constructor(context: StoreContext) {
    this.#context = context
    this.#batcher = new CommitBatcher({
      maxWeight: 1_000,
      write: async (rows) => {
        await this.#write(rows)
        return rows.map(() => undefined)
      },
    })
  }

  /** Notes a failure. Waits for nothing. */
  record(failure: NegotiationFailure): void {
    const { clock, directory, log } = this.#context
    const now = clock.now()
    const { from, claimedId, stage, code, message } = failure
    const principalId = claimedId === undefined ? undefined : directory.claimant(claimedId)?.id
    const times = this.#admit(`${principalId ?? ''} ${from?.address ?? ''} ${stage} ${code}`, clip(message), now)
    if (times === undefined) return
    const row = {
      at: clock.wall(),
      principal_id: principalId ?? null,
      source: from?.address ?? null,
      times,
      failure: JSON.stringify(clipped(failure)),
    }
    this.#batcher.add(row).catch((error: unknown) => log.error({ error }, 'a failed negotiation could not be written down'))
  }

  /** In the order of their happening. */
  async query({ principalId, addresses, since, after, limit = 100 }: NegotiationQuery = {}): Promise<NegotiationRecord[]> {
    let rows = this.#context.db
      .selectFrom('negotiations')
      .selectAll()
      .orderBy('id', after === undefined ? 'desc' : 'asc')
      .limit(Math.min(Math.max(Math.trunc(limit), 1), mostRows))
    if (after !== undefined) rows = rows.where('id', '>', after)
    if (principalId !== undefined) {
      rows = principalId === null ? rows.where('principal_id', 'is', null) : rows.where('principal_id', '=', principalId)
    }
    if (addresses !== undefined) rows = rows.where('source', 'in', addresses)
    if (since !== undefined) rows = rows.where('at', '>=', since)
    const found = (await rows.execute()).map(toRecord)
    return after === undefined ? found.reverse() : found
  }

  /**
   * The newest failure that is, or may be, `principal`'s since `since` (wall-clock ms): its own; else one from `address`, where it was heard
   * last; else one from an address that never said who it is, since a negotiation can end before that. `certain` is true of the first.
   */
  async lastOf(
    { id }: Pick<Principal, 'id'>,
    { address, since }: { address: string | undefined; since: number },
  ): Promise<{ record: NegotiationRecord; certain: boolean } | undefined> {
    const [own] = await this.query({ principalId: id, since, limit: 1 })
    if (own) return { record: own, certain: true }
    const strangers = await this.query({ principalId: null, since, limit: 50 })
    const nameless = strangers.reverse().filter(({ failure }) => failure.claimedId === undefined)
    const youngest = this.#context.clock.wall() - recent
    const record = nameless.find(({ failure }) => failure.from?.address === address) ?? nameless.find(({ at }) => at >= youngest)
    return record && { record, certain: false }
  }

  /** Resolves when every failure so far is on disk. */
  drained(): Promise<void> {
    return this.#batcher.drained()
  }

  /** How often this kind has happened since its last row; undefined where it is not to be written now. */
  #admit(key: string, message: string, now: Instant): number | undefined {
    const known = this.#repeats.get(key)
    const reworded = known !== undefined && known.message !== message
    if (known && elapsed(known.writtenAt, now) < (reworded ? rewordedAfter : repeatAfter)) {
      known.unwritten++
      return undefined
    }
    if (!known && this.#repeats.size >= mostRemembered) this.#forgetOld(now)
    if (this.#repeats.size >= mostRemembered || !this.#rows.take(now)) {
      this.suppressed++
      return undefined
    }
    this.#repeats.set(key, { writtenAt: now, unwritten: 0, message })
    return reworded ? 1 : 1 + (known?.unwritten ?? 0)
  }

  #forgetOld(now: Instant): void {
    for (const [key, { writtenAt }] of this.#repeats) if (elapsed(writtenAt, now) >= repeatAfter) this.#repeats.delete(key)
  }

  async #write(rows: readonly Omit<Selectable<NegotiationRow>, 'id'>[]): Promise<void> {
    await this.#context.db.transaction().execute(async (transaction) => {
      for (const row of rows) await transaction.insertInto('negotiations').values(row).execute()
      await sql`DELETE FROM negotiations WHERE principal_id IS NULL AND id <= (
        SELECT id FROM negotiations WHERE principal_id IS NULL ORDER BY id DESC LIMIT 1 OFFSET ${mostStrangers})`.execute(
        transaction,
      )
      await sql`DELETE FROM negotiations WHERE id <= (
        SELECT id FROM negotiations ORDER BY id DESC LIMIT 1 OFFSET ${mostRows})`.execute(transaction)
    })
  }
}

/** Most of what a stranger may have written down: texts in a list, and characters of one. */
const mostTexts = 32
const mostCharacters = 400

const clip = (text: string): string => (text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text)
const clipAll = (texts: readonly string[]): string[] => texts.slice(0, mostTexts).map(clip)

const clipped = (failure: NegotiationFailure): NegotiationFailure => ({
  ...failure,
  claimedId: failure.claimedId === undefined ? undefined : clip(failure.claimedId),
  offered: clipAll(failure.offered),
  allowed: clipAll(failure.allowed),
  nearest: failure.nearest && {
    offered: clip(failure.nearest.offered),
    allowed: clip(failure.nearest.allowed),
    differs: clip(failure.nearest.differs),
  },
  message: clip(failure.message),
  mendHere: clip(failure.mendHere),
  mendThere: clip(failure.mendThere),
})

function toRecord({ id, at, principal_id, times, failure }: Selectable<NegotiationRow>): NegotiationRecord {
  // What JSON left out was undefined.
  const told = {
    from: undefined,
    claimedId: undefined,
    nearest: undefined,
    ...(JSON.parse(failure) as object),
  } as NegotiationFailure
  return { id, at, principalId: principal_id ?? undefined, times, failure: told }
}
