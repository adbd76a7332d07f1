import type { Selectable } from 'kysely'
import { writeAudit } from '#broker/registry/audit-log.ts'
import { insertCertificates } from '#broker/registry/certificates.ts'
import { enlist } from '#broker/registry/enlist.ts'
import { checkLabels } from '#broker/registry/label.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { loadPrincipal } from '#broker/registry/principal-rows.ts'
import type { StationUnitRow } from '#broker/registry/station-rows.ts'
import type { StoreContext, WriteTransaction } from '#broker/registry/store-context.ts'
import type { Station } from '#broker/stations/station.ts'
import { type ClaimedUnit, type Conflict, conflictOf } from '#broker/stations/station-unit.ts'
import {
  countConflicts,
  listConflicts,
  putConflict,
  type ShownConflict,
  solveConflicts,
} from '#broker/stations/unit-conflicts.ts'
import { isRecorded, nameUnit, type OfUnit, putUnit, rowOf, setAside, setTwinsAside } from '#broker/stations/unit-rows.ts'
import { type RegistryReader, sameUnit, standingOf } from '#broker/stations/unit-standing.ts'
import type { UnitWord } from '#broker/stations/unit-word.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'

/** A certificate of a station's unit, verified, on its way into the registry. */
export interface OfferedUnit {
  readonly leaf: Certificate
  readonly issuerHex: string
  /** The board's serial number, where its station has said it. */
  readonly unit?: string
  /** Serial number (hex) of the certificate in whose place it comes. */
  readonly instead?: string
  /** The word of the fleet's hook on it; left out where its key is enlisted already, and was asked about then. */
  readonly word?: UnitWord
}

/** A device that a station has made. */
export interface MadeDevice {
  readonly principal: Principal
  /** Null while only the unit itself has called. */
  readonly unit: string | null
  /** The tunnel key (hex) of its certificate; undefined where there is none. */
  certified(): string | undefined
}

/** `gone`: the device of a lost key in whose place it comes. */
export type Taken = { readonly gone: Principal | undefined } & (
  | { readonly principal: Principal; readonly fresh: boolean }
  | { readonly conflict: Conflict }
)

/**
 * Every certificate that stations have caused, and who came of it. The same rules judge it whether the station issued through us, told
 * us of it later, or the unit itself calls before its station has (DESIGN D4): then it is a device like any other.
 */
export class UnitRegister {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** One transaction; what `heard` collects is done once it is committed. */
  async intake(work: (transaction: WriteTransaction, heard: (() => void)[]) => Promise<void>): Promise<void> {
    const heard: (() => void)[] = []
    await this.#context.db.transaction().execute((transaction) => work(transaction, heard))
    for (const tell of heard) tell()
  }

  /** What tells the rest of the broker of a unit, once that is committed. */
  telling(taken: Taken): () => void {
    const { changed } = this.#context
    return () => {
      if (taken.gone) changed({ kind: 'revoked', principal: taken.gone })
      if ('principal' in taken) changed({ kind: taken.fresh ? 'added' : 'changed', principal: taken.principal })
    }
  }

  /** What stands against a unit that is about to be issued online; undefined: nothing. */
  async refusal(db: RegistryReader, station: Station, claimed: ClaimedUnit): Promise<Conflict | undefined> {
    return conflictOf(claimed, station, await standingOf(db, station, claimed))
  }

  /** What a certificate claims, and what stands against it at the moment; `take` decides. */
  async judge(station: Station, offered: OfferedUnit): Promise<{ claimed: ClaimedUnit; conflict: Conflict | undefined }> {
    const { db } = this.#context
    const before = await rowOf(db, { issuerHex: offered.issuerHex, serialHex: offered.leaf.serialHex })
    const claimed = this.#claimed(station, offered, offered.unit ?? before?.unit ?? undefined)
    return { claimed, conflict: await this.refusal(db, station, claimed) }
  }

  /** What stands against a unit that has no certificate yet; undefined: nothing. */
  standingAgainst(station: Station, claimed: ClaimedUnit): Promise<Conflict | undefined> {
    return this.refusal(this.#context.db, station, claimed)
  }

  /** A certificate that cannot be one of the station's at all. */
  async refuse(transaction: WriteTransaction, station: Station, offered: OfferedUnit, what: string): Promise<void> {
    const claimed = this.#claimed(station, offered, offered.unit)
    await this.#refused(transaction, station, { claimed, der: offered.leaf.der }, { kind: 'certificate', other: { what } })
  }

  /** One certificate into the registry, or into the conflicts; the same one again changes nothing. */
  async take(transaction: WriteTransaction, station: Station, offered: OfferedUnit): Promise<Taken> {
    const { leaf, unit, instead } = offered
    const now = this.#context.clock.wall()
    const before = await rowOf(transaction, { issuerHex: offered.issuerHex, serialHex: leaf.serialHex })
    const shown = this.#claimed(station, offered, unit ?? before?.unit ?? undefined)
    const claimed = { ...shown, name: checkName(shown.name) }
    const lost = { unit: unit ?? '', newKey: claimed.spkiSha256Hex, now }
    const gone = instead === undefined ? undefined : await setAside(transaction, station, instead, lost)
    if (before?.principal_id != null) {
      await nameUnit(transaction, claimed)
      const twice = await sameUnit(transaction, station, claimed)
      // It is a device already, which called before its station did: both records are shown, and a person decides.
      if (twice) await putConflict(this.#context, transaction, station, claimed, { kind: 'serial-twice', other: twice })
      return { principal: await loadPrincipal(transaction, before.principal_id), fresh: false, gone }
    }
    const conflict = (await this.refusal(transaction, station, claimed)) ?? denialIn(offered.word)
    if (conflict) {
      await this.#refused(transaction, station, { claimed, der: leaf.der }, conflict)
      return { conflict, gone }
    }
    const { principal, fresh } = await this.#enlist(transaction, station, claimed, offered)
    await putUnit(transaction, station, { claimed, der: leaf.der }, { principal_id: principal.id, state: 'issued' }, now)
    if (claimed.unit !== undefined) await setTwinsAside(transaction, station, claimed, claimed.unit)
    await solveConflicts(transaction, claimed, now)
    return { principal, fresh, gone }
  }

  /** What the ledger says of a unit afterwards. */
  async mark(
    transaction: WriteTransaction,
    station: Station,
    unit: string,
    state: 'delivered' | 'scrapped',
    reason?: string,
  ): Promise<void> {
    await transaction
      .updateTable('station_units')
      .set({ state, ...(reason !== undefined && { reason }) })
      .where('delegation_id', '=', station.id)
      .where('unit', '=', unit)
      .where('state', 'in', ['issued', 'delivered'])
      .execute()
  }

  /** The live devices of a station's unit, or of all of its units. */
  async devicesOf(station: Station, unit?: string): Promise<Principal[]> {
    let query = this.#context.db
      .selectFrom('station_units')
      .select('principal_id')
      .distinct()
      .where('delegation_id', '=', station.id)
      .where('principal_id', 'is not', null)
    if (unit !== undefined) query = query.where('unit', '=', unit)
    const rows = await query.execute()
    return rows
      .map(({ principal_id }) => this.#context.directory.byId(principal_id ?? 0))
      .filter((principal): principal is Principal => principal !== undefined && principal.revokedAt === undefined)
  }

  /** The live devices that its units became, each with the board's serial number and the tunnel key (hex) of its certificate. */
  async made(station: Station): Promise<MadeDevice[]> {
    const rows = await this.#context.db
      .selectFrom('station_units')
      .select(['principal_id', 'unit', 'der'])
      .where('delegation_id', '=', station.id)
      .where('state', 'in', ['issued', 'delivered'])
      .where('principal_id', 'is not', null)
      .orderBy('at')
      .execute()
    return rows.flatMap(({ principal_id, unit, der }) => {
      const principal = this.#context.directory.byId(principal_id ?? 0)
      if (principal === undefined || principal.revokedAt !== undefined) return []
      return [{ principal, unit, certified: () => certifiedKey(der) }]
    })
  }

  async list(station: Station): Promise<Selectable<StationUnitRow>[]> {
    return this.#context.db
      .selectFrom('station_units')
      .selectAll()
      .where('delegation_id', '=', station.id)
      .orderBy('at')
      .orderBy('serial')
      .execute()
  }

  /** Certificates that count against a quota, by state. */
  async counts(station: Station): Promise<{ certificates: number; delivered: number; conflicts: number }> {
    const rows = await this.#context.db
      .selectFrom('station_units')
      .select(['state', ({ fn }) => fn.countAll<number>().as('n')])
      .where('delegation_id', '=', station.id)
      .groupBy('state')
      .execute()
    const of = (state: string): number => Number(rows.find((row) => row.state === state)?.n ?? 0)
    const certificates = rows
      .filter(({ state }) => state !== 'refused' && state !== 'replaced')
      .reduce((sum, { n }) => sum + Number(n), 0)
    return { certificates, delivered: of('delivered'), conflicts: await countConflicts(this.#context.db, station) }
  }

  conflicts(which: { all: boolean }): Promise<ShownConflict[]> {
    return listConflicts(this.#context.db, which)
  }

  /** As its certificate has it; `unit`: the board's serial number, where it is known. */
  #claimed(station: Station, { leaf, issuerHex }: OfferedUnit, unit: string | undefined): ClaimedUnit {
    return {
      issuerHex,
      serialHex: leaf.serialHex,
      name: valuesOf(leaf.subjectName, names.commonName)[0] ?? '',
      spkiSha256Hex: toHex(this.#context.suite.hash('sha256', leaf.spki)),
      notBefore: leaf.notBefore,
      notAfter: leaf.notAfter,
      byStation: issuerHex === station.issuerHex,
      unit,
    }
  }

  async #refused(transaction: WriteTransaction, station: Station, unit: OfUnit, conflict: Conflict): Promise<void> {
    const row = { principal_id: null, state: 'refused' } as const
    await putUnit(transaction, station, unit, row, this.#context.clock.wall())
    await putConflict(this.#context, transaction, station, unit.claimed, conflict)
  }

  async #enlist(
    transaction: WriteTransaction,
    station: Station,
    claimed: ClaimedUnit,
    { leaf, word }: OfferedUnit,
  ): Promise<{ principal: Principal; fresh: boolean }> {
    const now = this.#context.clock.wall()
    const tunnel = leaf.extensions.tunnelKey
    const holder = await transaction
      .selectFrom('keys')
      .select('principal_id')
      .where('kind', '=', 'identity')
      .where('value', '=', claimed.spkiSha256Hex)
      .executeTakeFirst()
    if (holder === undefined && word === undefined) throw new TypeError('a unit on which the hook was not asked')
    const made = holder
      ? await loadPrincipal(transaction, holder.principal_id)
      : await enlist(this.#context, transaction, {
          kind: 'device',
          name: claimed.name,
          spkiSha256: claimed.spkiSha256Hex,
          ...(tunnel && { tunnelKey: toHex(tunnel) }),
          tags: checkLabels('tag', [...station.tags, ...tagsIn(word)]),
          groups: [],
          admin: false,
          stock: false,
          expiresAt: null,
        })
    const record = {
      issuerHex: claimed.issuerHex,
      serialHex: claimed.serialHex,
      spkiSha256Hex: claimed.spkiSha256Hex,
      der: leaf.der,
    }
    const life = { notBefore: claimed.notBefore, notAfter: claimed.notAfter }
    if (!(await isRecorded(transaction, claimed)))
      await insertCertificates(transaction, [{ principalId: made.id, ...record, ...life }], now)
    const expires_at = Math.max(claimed.notAfter, made.expiresAt ?? 0)
    await transaction.updateTable('principals').set({ expires_at }).where('id', '=', made.id).execute()
    const detail = { station: station.station, unit: claimed.unit, serial: claimed.serialHex, key: claimed.spkiSha256Hex }
    await writeAudit(transaction, now, {
      actor: `station:${station.station}`,
      action: 'station.unit',
      subject: `device:${claimed.name}`,
      detail,
      deviceId: made.id,
    })
    return { principal: await loadPrincipal(transaction, made.id), fresh: holder === undefined }
  }
}

function certifiedKey(der: Uint8Array): string | undefined {
  const { tunnelKey } = parseCertificate(Uint8Array.from(der)).extensions
  return tunnelKey && toHex(tunnelKey)
}

const denialIn = (word: UnitWord | undefined): Conflict | undefined => (word && 'conflict' in word ? word.conflict : undefined)
const tagsIn = (word: UnitWord | undefined): readonly string[] => (word && 'tags' in word ? word.tags : [])
