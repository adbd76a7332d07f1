import type { Selectable } from 'kysely'
import { writeAudit } from '#broker/registry/audit-log.ts'
import type { StationConflictRow } from '#broker/registry/station-rows.ts'
import type { StoreContext, WriteTransaction } from '#broker/registry/store-context.ts'
import type { Station } from '#broker/stations/station.ts'
import type { ClaimedUnit, Conflict, StandingRecord } from '#broker/stations/station-unit.ts'
import type { RegistryReader } from '#broker/stations/unit-standing.ts'

/** A record that does not fit, as it is shown: what the station says, and what stands against it. */
export interface ShownConflict {
  readonly id: number
  readonly at: number
  readonly kind: string
  readonly station: string
  readonly ours: StandingRecord
  readonly other: StandingRecord
  readonly solvedAt?: number
}

/** The same one again changes nothing. */
export async function putConflict(
  { clock, log }: Pick<StoreContext, 'clock' | 'log'>,
  transaction: WriteTransaction,
  station: Station,
  claimed: ClaimedUnit,
  { kind, other }: Conflict,
): Promise<void> {
  const now = clock.wall()
  const ours: StandingRecord = {
    what: `station ${station.station} issued ${claimed.name}`,
    station: station.station,
    unit: claimed.unit,
    name: claimed.name,
    certificate: claimed.serialHex,
    key: claimed.spkiSha256Hex,
    since: claimed.notBefore,
  }
  const row = {
    at: now,
    kind,
    delegation_id: station.id,
    issuer: claimed.issuerHex,
    serial: claimed.serialHex,
    solved_at: null,
  }
  const inserted = await transaction
    .insertInto('station_conflicts')
    .values({ ...row, ours: JSON.stringify(ours), other: JSON.stringify(other) })
    .onConflict((again) => again.doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows === 0n) return
  await writeAudit(transaction, now, {
    actor: `station:${station.station}`,
    action: 'station.conflict',
    subject: `device:${claimed.name}`,
    detail: { kind, ours, other },
  })
  log.warn({ kind, station: station.station, unit: claimed.unit, name: claimed.name }, 'a unit of a station does not fit')
}

/** The certificate is taken after all. `now`: wall-clock ms. */
export async function solveConflicts(
  transaction: WriteTransaction,
  { issuerHex, serialHex }: ClaimedUnit,
  now: number,
): Promise<void> {
  await transaction
    .updateTable('station_conflicts')
    .set({ solved_at: now })
    .where('issuer', '=', issuerHex)
    .where('serial', '=', serialHex)
    .where('solved_at', 'is', null)
    .execute()
}

/** In the order of their coming. */
export async function listConflicts(db: RegistryReader, { all }: { all: boolean }): Promise<ShownConflict[]> {
  let query = db
    .selectFrom('station_conflicts')
    .innerJoin('delegations', 'delegations.id', 'station_conflicts.delegation_id')
    .selectAll('station_conflicts')
    .select('delegations.station')
    .orderBy('station_conflicts.id')
  if (!all) query = query.where('station_conflicts.solved_at', 'is', null)
  return (await query.execute()).map(shown)
}

/** Unsolved ones of whatever bears the station's name. */
export async function countConflicts(db: RegistryReader, { station }: Station): Promise<number> {
  const { n } = await db
    .selectFrom('station_conflicts')
    .innerJoin('delegations', 'delegations.id', 'station_conflicts.delegation_id')
    .select(({ fn }) => fn.countAll<number>().as('n'))
    .where('delegations.station', '=', station)
    .where('station_conflicts.solved_at', 'is', null)
    .executeTakeFirstOrThrow()
  return n
}

const shown = (row: Selectable<StationConflictRow> & { station: string }): ShownConflict => ({
  id: row.id,
  at: row.at,
  kind: row.kind,
  station: row.station,
  ours: JSON.parse(row.ours) as StandingRecord,
  other: JSON.parse(row.other) as StandingRecord,
  ...(row.solved_at !== null && { solvedAt: row.solved_at }),
})
