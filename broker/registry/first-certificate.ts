import type { Kysely } from 'kysely'
import type { Lane } from './lane-rows.ts'
import type { Tables } from './schema.ts'

/** One certificate of a principal. Hashes and serials are hex. */
export interface HeldCertificate {
  readonly principalId: number
  readonly issuerHex: string
  readonly serialHex: string
}

/**
 * Why a certificate cannot be the only one that its device ever had; undefined: it is. What a station set aside for another of the same key
 * was never on the board, and what was given off the shelf counts from when its holder has shown it: before, its answer may be lost.
 */
export async function whyNotFirst(db: Kysely<Tables>, held: HeldCertificate): Promise<string | undefined> {
  const { principalId, issuerHex, serialHex } = held
  const all = await historyOf(db, principalId)
  const own = all.find(({ issuer, serial }) => issuer === issuerHex && serial === serialHex)
  return own === undefined ? 'it is not on record here' : faultOf(own, all)
}

/** All certificates of a principal, in the order of their recording, with what stations and lanes say of them. */
const historyOf = (db: Kysely<Tables>, principalId: number) =>
  db
    .selectFrom('certificates as c')
    .leftJoin('station_units as u', (join) => join.onRef('u.issuer', '=', 'c.issuer').onRef('u.serial', '=', 'c.serial'))
    .leftJoin('delegations as d', 'd.id', 'u.delegation_id')
    .leftJoin('lane_renewals as r', (join) => join.onRef('r.issuer', '=', 'c.issuer').onRef('r.serial', '=', 'c.serial'))
    .select(['c.issuer', 'c.serial', 'c.recorded_at', 'u.state', 'u.unit', 'd.station', 'd.not_after', 'd.synced_at'])
    .select(['r.serial as given', 'r.shown_at'])
    .where('c.principal_id', '=', principalId)
    .orderBy('c.recorded_at')
    .execute()

type Recorded = Awaited<ReturnType<typeof historyOf>>[number]

function faultOf(own: Recorded, all: readonly Recorded[]): string | undefined {
  const later = all.find((row) => row !== own && row.state !== 'replaced' && (row.given === null || row.shown_at !== null))
  if (later) return `its device has had another since ${new Date(later.recorded_at).toISOString()}`
  if (own.state === 'replaced') return 'its station has given the board another in its place'
  // The ledger was brought up to date after the last moment at which the station could issue: it names every unit that there is.
  if (own.station !== null && own.unit === null && (own.synced_at ?? 0) > (own.not_after ?? 0))
    return `station ${own.station} has told of all its units, and not of this one`
  return undefined
}

/** Whether somebody came off the shelf by that certificate after `since` (wall-clock ms). */
export async function isTwinOfReturn(db: Kysely<Tables>, held: HeldCertificate, since: number): Promise<boolean> {
  const row = await db
    .selectFrom('lane_renewals')
    .select('serial')
    .where('principal_id', '=', held.principalId)
    .where('from_issuer', '=', held.issuerHex)
    .where('from_serial', '=', held.serialHex)
    .where('lane', '=', 'shelf' satisfies Lane)
    .where('at', '>', since)
    .executeTakeFirst()
  return row !== undefined
}

/** Which of these principals have a certificate with which `whyNotFirst` finds no fault. */
export async function neverRenewed(db: Kysely<Tables>, principalIds: readonly number[]): Promise<Set<number>> {
  const found = new Set<number>()
  for (const principalId of principalIds) {
    const all = await historyOf(db, principalId)
    if (all.some((one) => faultOf(one, all) === undefined)) found.add(principalId)
  }
  return found
}
