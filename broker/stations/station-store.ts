import { writeAudit } from '#broker/registry/audit-log.ts'
import type { ClaimStore } from '#broker/registry/claims.ts'
import { isNameTaken } from '#broker/registry/enlist.ts'
import { checkLabels } from '#broker/registry/label.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { loadPrincipal } from '#broker/registry/principal-rows.ts'
import { revokePrincipal } from '#broker/registry/revoke-principal.ts'
import type { DelegationRow } from '#broker/registry/station-rows.ts'
import type { StoreContext, WriteTransaction } from '#broker/registry/store-context.ts'
import { type Extension, extendedTerms, isDelegationDue } from '#broker/stations/delegation-terms.ts'
import { checkNumbersFree, type TakenNumbers } from '#broker/stations/number-range.ts'
import { type Station, toStation } from '#broker/stations/station.ts'
import { concat } from '#shared/bytes/concat.ts'
import { checkUnitNames, type Delegation, mostNumber, mostUnits, numberIn, stemOf } from '#shared/enrolment/delegation.ts'
import { checkName, escapeText, expandPattern } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { Mutex } from '#shared/platform/mutex.ts'

export interface NewStation {
  name: string
  /** Pattern of its units' names, with a counter. */
  names: string
  tags: readonly string[]
  quota: number
  /** How long it may issue, ms from now. */
  ttl: number
  /** How long its claim is good, ms. */
  claimTtl: number
}

/** Which stations there are and what each may issue. Few: all are in memory. */
export class StationStore {
  readonly #context: StoreContext
  readonly #stations = new Map<number, Station>()
  readonly #byIssuer = new Map<string, Station>()
  /** Of revoked stations: `issuer serial` of the certificates that stay good. */
  readonly #kept = new Set<string>()
  readonly #turn = new Mutex()

  private constructor(context: StoreContext) {
    this.#context = context
  }

  static async load(context: StoreContext): Promise<StationStore> {
    const store = new StationStore(context)
    for (const row of await context.db.selectFrom('delegations').selectAll().orderBy('id').execute()) store.#put(toStation(row))
    for (const station of store.all()) if (station.revokedAt !== undefined) await store.#keepUnits(station)
    return store
  }

  /** In the order of their authorisation. */
  all(): Iterable<Station> {
    return this.#stations.values()
  }

  /** By the SHA-256 of its CA's SPKI, hex. */
  byIssuer(issuerHex: string): Station | undefined {
    return this.#byIssuer.get(issuerHex)
  }

  /** The live one of that name, else the last; throws AditError `not-found`. */
  get(name: string): Station {
    const named = [...this.#stations.values()].filter(({ station }) => station === name.toLowerCase())
    const found = named.find(({ revokedAt }) => revokedAt === undefined) ?? named.at(-1)
    if (found) return found
    throw new AditError('not-found', `There is no station of the name ${escapeText(name)}.`, 'See: adit-broker station list')
  }

  /** Whether a revoked station's certificate was known here before, and stays good. */
  isKept(issuerHex: string, serialHex: string): boolean {
    return this.#kept.has(`${issuerHex} ${serialHex}`)
  }

  /**
   * Makes the right and the claim by which the station takes it up, in one transaction. Stations with one pattern get numbers one after
   * another, behind what devices of such names there are. Throws AditError `name-taken`, `name-invalid` or `usage`.
   */
  async authorize(asked: NewStation, claims: ClaimStore, actor: string) {
    const name = checkName(asked.name)
    const names = checkUnitNames(asked.names)
    const { quota, ttl } = asked
    if (!Number.isInteger(quota) || quota < 1 || quota > mostUnits) throw usage(`A quota is 1 to ${mostUnits}, not ${quota}.`)
    const tags = checkLabels('tag', asked.tags)
    for (const { station, revokedAt } of this.all()) if (station === name && revokedAt === undefined) throw nameTaken(name)
    const now = this.#context.clock.wall()
    const { summary, id, secret } = await claims.create(
      { role: 'station', name, ttl: Math.min(asked.claimTtl, ttl) },
      actor,
      async (transaction, claimId) => {
        const first = await this.#firstNumber(transaction, names)
        const last = first + quota - 1
        if (last > mostNumber) throw usage(`The numbers of ${names} are used up.`)
        const scope = { station: name, names, first, last, quota, tags: JSON.stringify(tags) }
        const window = { not_before: now, not_after: now + ttl, created_at: now }
        const row = { ...scope, ...window, claim_id: claimId, stem: stemOf(names) }
        await transaction
          .insertInto('delegations')
          .values({
            ...row,
            revoked_at: null,
            principal_id: null,
            issuer: null,
            ca: null,
            head_hash: null,
            synced_at: null,
            statement_key: null,
            ...untouched,
          })
          .execute()
        await writeAudit(transaction, now, {
          actor,
          action: 'station.authorize',
          subject: `station:${name}`,
          detail: { ...scope, ...window },
        })
      },
    )
    const row = await this.#context.db
      .selectFrom('delegations')
      .selectAll()
      .where('claim_id', '=', summary.id)
      .executeTakeFirstOrThrow()
    return { station: this.#put(toStation(row)), claim: { summary, id, secret } }
  }

  /** The station that enrolled as this principal; undefined where it was authorised by nobody. */
  async ofPrincipal({ id, name }: Pick<Principal, 'id' | 'name'>): Promise<Station | undefined> {
    const live = [...this.#stations.values()].find((station) => station.station === name && station.revokedAt === undefined)
    if (live === undefined || (live.principalId !== undefined && live.principalId !== id)) return undefined
    return live.principalId === undefined ? this.#update(live.id, { principal_id: id }) : live
  }

  /**
   * More certificates or more time for a station that is there; what it has been given and has issued stays counted. Its own CA says so
   * once it has asked for it anew (`delegate`). Throws AditError `usage`, `revoked`, or `name-taken` where the numbers behind its own are
   * somebody's.
   */
  async extend(name: string, asked: Extension, actor: string): Promise<Station> {
    const release = await this.#turn.enter()
    try {
      const { clock } = this.#context
      const station = this.get(name)
      const now = clock.wall()
      const { quota, last, notAfter } = extendedTerms(station, asked, now)
      const extended = await this.#update(station.id, { quota, last, not_after: notAfter }, async (transaction) => {
        await this.#assertFree(transaction, station, last, now)
        const detail = {
          quota,
          first: station.first,
          last,
          not_after: notAfter,
          before: { quota: station.quota, not_after: station.notAfter },
        }
        await writeAudit(transaction, now, { actor, action: 'station.extend', subject: `station:${station.station}`, detail })
      })
      this.#context.changed({ kind: 'stations' })
      return extended
    } finally {
      release()
    }
  }

  /**
   * Its CA's certificate as `make` signs it: the same one for the same key until what it says is to change, and then one of the same subject,
   * so that what it has signed hangs of the new one. `issuing`, `ocspUrl`: see isDelegationDue. Throws AditError `delegation-over`, or
   * `request-refused` for another key: then the station's ledger would begin anew beside the old one.
   */
  async delegate(
    { id }: Pick<Station, 'id'>,
    spki: Uint8Array,
    make: (scope: Delegation, subject: Uint8Array | undefined) => Uint8Array,
    issuing?: Certificate,
    ocspUrl?: string,
  ): Promise<Uint8Array> {
    const { suite, clock } = this.#context
    const issuer = Buffer.from(suite.hash('sha256', spki)).toString('hex')
    const release = await this.#turn.enter()
    try {
      const station = this.#stations.get(id)!
      const now = clock.wall()
      if (station.ca && station.issuerHex !== issuer) throw otherKey(station)
      if (station.ca && !isDelegationDue(station, issuing, now, ocspUrl)) return station.ca.der
      if (now >= station.notAfter) throw delegationOver(station)
      const made = make(station, station.ca?.subject)
      // All of them: a unit may sleep for longer than the certificate lasts under which it was made.
      const former = [station.ca, ...station.formerCas].filter((one) => one !== undefined)
      await this.#update(id, { issuer, ca: concat(made, ...former.map(({ der }) => der)) }, async (transaction) => {
        const { serialHex, notAfter } = parseCertificate(made)
        const subject = `station:${station.station}`
        const detail = { serial: serialHex, notAfter, ...(station.ca && { instead: station.ca.serialHex }) }
        await writeAudit(transaction, now, { actor: subject, action: 'station.delegate', subject, detail })
      })
      this.#context.changed({ kind: 'stations' })
      return made
    } finally {
      release()
    }
  }

  /**
   * The public half (Ed25519, hex) of the key by which it vouches for its devices. Another one than before is the administrator's to compare,
   * like the first. Throws AditError `request-refused` for a key that is another's.
   */
  async tellKey({ id }: Pick<Station, 'id'>, key: string): Promise<Station> {
    const release = await this.#turn.enter()
    try {
      const station = this.#stations.get(id)!
      if (station.statementKey === key) return station
      for (const other of this.all()) if (other.id !== id && other.statementKey === key) throw foreignKey(station)
      const told = await this.#update(id, { statement_key: key }, async (transaction) => {
        const subject = `station:${station.station}`
        const detail = { key, ...(station.statementKey && { instead: station.statementKey }) }
        await writeAudit(transaction, this.#context.clock.wall(), { actor: subject, action: 'station.key', subject, detail })
      })
      this.#context.changed({ kind: 'stations' })
      return told
    } finally {
      release()
    }
  }

  /** Within the transaction that took the entries; `settle` when it is committed. */
  async advance(transaction: WriteTransaction, id: number, head: { number: number; hash: Uint8Array }): Promise<() => void> {
    const synced_at = this.#context.clock.wall()
    const set = { head_number: head.number, head_hash: head.hash, synced_at }
    const row = await transaction
      .updateTable('delegations')
      .set(set)
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow()
    return () => void this.#put(toStation(row))
  }

  /**
   * From now on it may do nothing, and of what its CA signed only what is known here is believed; with `withUnits` not even that (their
   * devices are the caller's to revoke). A second time changes nothing.
   */
  async revoke(name: string, withUnits: boolean, actor: string): Promise<Station> {
    const { db, clock } = this.#context
    const station = this.get(name)
    if (station.revokedAt !== undefined && (!withUnits || station.unitsRevoked)) return station
    const now = clock.wall()
    const { row, principal } = await db.transaction().execute(async (transaction) => {
      await transaction
        .updateTable('claims')
        .set({ revoked_at: now })
        .where('id', '=', station.claimId)
        .where('revoked_at', 'is', null)
        .execute()
      const { principalId } = station
      if (principalId !== undefined) await revokePrincipal(transaction, principalId, now)
      const revoked = await transaction
        .updateTable('delegations')
        .set({ revoked_at: station.revokedAt ?? now, units_revoked: withUnits ? 1 : 0 })
        .where('id', '=', station.id)
        .returningAll()
        .executeTakeFirstOrThrow()
      await writeAudit(transaction, now, {
        actor,
        action: 'station.revoke',
        subject: `station:${station.station}`,
        detail: { withUnits },
      })
      return { row: revoked, principal: principalId === undefined ? undefined : await loadPrincipal(transaction, principalId) }
    })
    const revoked = toStation(row)
    await this.#keepUnits(revoked)
    this.#put(revoked)
    if (principal) this.#context.changed({ kind: 'revoked', principal })
    this.#context.changed({ kind: 'stations' })
    return revoked
  }

  async #keepUnits({ id, unitsRevoked }: Station): Promise<void> {
    if (unitsRevoked) return
    const rows = await this.#context.db
      .selectFrom('station_units')
      .select(['issuer', 'serial'])
      .where('delegation_id', '=', id)
      .where('principal_id', 'is not', null)
      .execute()
    for (const { issuer, serial } of rows) this.#kept.add(`${issuer} ${serial}`)
  }

  /** Whether the numbers behind the station's own, to `last`, are nobody's, and no other pattern could make its names. */
  async #assertFree(transaction: WriteTransaction, station: Station, last: number, now: number): Promise<void> {
    const { id, names } = station
    const rows = await transaction.selectFrom('delegations').selectAll().where('stem', '=', stemOf(names)).execute()
    const others = rows.filter((row) => row.id !== id)
    const rival = others.find((row) => row.names !== names && row.revoked_at === null && row.not_after > now)
    if (rival) throw rivalPattern(names, rival.names, rival.station)
    if (last === station.last) return
    const stations = others.filter((row) => row.names === names)
    const taken: TakenNumbers[] = stations.map((row) => ({ ...row, whose: `are those of station ${row.station}` }))
    for (const { name, revokedAt } of this.#context.directory.all('device')) {
      const number = numberIn(names, name) ?? 0
      const isAnother = !stations.some((row) => row.first <= number && number <= row.last)
      if (revokedAt === undefined && isAnother) taken.push({ first: number, last: number, whose: `is the device ${name}` })
    }
    checkNumbersFree(station, last, taken, await this.#firstNumber(transaction, names))
  }

  /** Behind the numbers of every station of that pattern, and of every live device that has such a name. */
  async #firstNumber(transaction: WriteTransaction, names: string): Promise<number> {
    const rows = await transaction.selectFrom('delegations').selectAll().where('stem', '=', stemOf(names)).execute()
    const now = this.#context.clock.wall()
    const rival = rows.find((row) => row.names !== names && row.revoked_at === null && row.not_after > now)
    if (rival) throw rivalPattern(names, rival.names, rival.station)
    let last = Math.max(0, ...rows.filter((row) => row.names === names).map((row) => row.last))
    for (const { name, revokedAt } of this.#context.directory.all('device'))
      if (revokedAt === undefined) last = Math.max(last, numberIn(names, name) ?? 0)
    // A name that only the database has yet.
    while (await isNameTaken(transaction, 'device', expandPattern(names, last + 1))) last += 1
    return last + 1
  }

  async #update(
    id: number,
    set: Partial<Pick<DelegationRow, 'principal_id' | 'issuer' | 'ca' | 'quota' | 'last' | 'not_after' | 'statement_key'>>,
    beside?: (transaction: WriteTransaction) => Promise<void>,
  ): Promise<Station> {
    const row = await this.#context.db.transaction().execute(async (transaction) => {
      await beside?.(transaction)
      return transaction.updateTable('delegations').set(set).where('id', '=', id).returningAll().executeTakeFirstOrThrow()
    })
    return this.#put(toStation(row))
  }

  #put(station: Station): Station {
    this.#stations.set(station.id, station)
    if (station.issuerHex !== undefined) this.#byIssuer.set(station.issuerHex, station)
    return station
  }
}

const untouched = { head_number: 0, units_revoked: 0 }

const usage = (message: string): AditError => new AditError('usage', message, 'See: adit-broker station authorize --help')

export const delegationOver = ({ station, notAfter }: { station: string; notAfter: number }): AditError =>
  new AditError(
    'delegation-over',
    `The window of station ${station} ended at ${new Date(notAfter).toISOString()}.`,
    `Extend it: adit-broker station extend ${station} --ttl 30d`,
  )

const otherKey = ({ station }: Station): AditError =>
  new AditError(
    'request-refused',
    `Station ${station} has a CA of another key already.`,
    `Use its own state folder, or begin anew: adit-broker station revoke ${station}, then authorize another.`,
  )

const foreignKey = ({ station }: Station): AditError =>
  new AditError(
    'request-refused',
    `The key by which station ${station} would vouch for its devices is another station's.`,
    'A station that was copied must begin anew: revoke it and authorise another.',
  )

const nameTaken = (name: string): AditError =>
  new AditError(
    'name-taken',
    `There is a station ${name} already.`,
    `Choose another name, or revoke it: adit-broker station revoke ${name}`,
  )

const rivalPattern = (names: string, other: string, station: string): AditError =>
  new AditError(
    'name-taken',
    `${names} could make the same names as ${other} of station ${station}.`,
    `Use ${other} as well, which gives this station numbers of its own, or another pattern.`,
  )
