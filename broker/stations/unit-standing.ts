import { loadPrincipal } from '#broker/registry/principal-rows.ts'
import type { WriteTransaction } from '#broker/registry/store-context.ts'
import type { Station } from '#broker/stations/station.ts'
import type { ClaimedUnit, Standing, StandingRecord } from '#broker/stations/station-unit.ts'

export type RegistryReader = Pick<WriteTransaction, 'selectFrom'>

/** What the registry has that a certificate of a station's unit is to be judged against. */
export async function standingOf(transaction: RegistryReader, station: Station, claimed: ClaimedUnit): Promise<Standing> {
  const issued = await transaction
    .selectFrom('station_units')
    .select(({ fn }) => fn.countAll<number>().as('n'))
    .where('delegation_id', '=', station.id)
    .where('state', 'not in', ['refused', 'replaced'])
    .executeTakeFirstOrThrow()
  return {
    issued: Number(issued.n),
    sameUnit: await sameUnit(transaction, station, claimed),
    sameName: await sameName(transaction, claimed),
    sameKey: await sameKey(transaction, claimed),
  }
}

/** Another live certificate of the same board, with another key. */
export async function sameUnit(
  transaction: RegistryReader,
  station: Station,
  claimed: ClaimedUnit,
): Promise<StandingRecord | undefined> {
  if (claimed.unit === undefined) return undefined
  const row = await transaction
    .selectFrom('station_units')
    .innerJoin('delegations', 'delegations.id', 'station_units.delegation_id')
    .innerJoin('principals', 'principals.id', 'station_units.principal_id')
    .select(['delegations.station', 'station_units.name', 'station_units.serial', 'station_units.spki', 'station_units.at'])
    .where('station_units.unit', '=', claimed.unit)
    .where('station_units.state', 'in', ['issued', 'delivered'])
    .where('station_units.spki', '!=', claimed.spkiSha256Hex)
    .where('principals.revoked_at', 'is', null)
    .executeTakeFirst()
  if (!row) return undefined
  const where = row.station === station.station ? 'the same station' : `station ${row.station}`
  const what = `${where} made ${row.name} of the board ${claimed.unit}`
  return { what, station: row.station, unit: claimed.unit, name: row.name, certificate: row.serial, key: row.spki, since: row.at }
}

/** A live device of that name with another key. */
async function sameName(transaction: RegistryReader, claimed: ClaimedUnit): Promise<StandingRecord | undefined> {
  const row = await transaction
    .selectFrom('principals')
    .leftJoin('station_units', 'station_units.principal_id', 'principals.id')
    .leftJoin('delegations', 'delegations.id', 'station_units.delegation_id')
    .select(['principals.id', 'principals.created_at', 'delegations.station', 'station_units.unit', 'station_units.serial'])
    .where('principals.kind', '=', 'device')
    .where('principals.name', '=', claimed.name)
    .where('principals.revoked_at', 'is', null)
    .executeTakeFirst()
  if (!row) return undefined
  const { identityKeys, tunnelKey } = await loadPrincipal(transaction, row.id)
  if (identityKeys.includes(claimed.spkiSha256Hex)) return undefined
  const what = `there is a device ${claimed.name} with another key`
  const from = { station: row.station ?? undefined, unit: row.unit ?? undefined, certificate: row.serial ?? undefined }
  return { what, ...from, name: claimed.name, key: identityKeys.at(-1) ?? tunnelKey, since: row.created_at }
}

/** Whoever has its identity key under another name, or had it and was revoked. */
async function sameKey(transaction: RegistryReader, claimed: ClaimedUnit): Promise<StandingRecord | undefined> {
  const row = await transaction
    .selectFrom('keys')
    .innerJoin('principals', 'principals.id', 'keys.principal_id')
    .select(['principals.name', 'principals.kind', 'principals.created_at', 'principals.revoked_at'])
    .where('keys.kind', '=', 'identity')
    .where('keys.value', '=', claimed.spkiSha256Hex)
    .executeTakeFirst()
  if (!row || (row.kind === 'device' && row.name === claimed.name && row.revoked_at === null)) return undefined
  const what = `${row.kind} ${row.name} ${row.revoked_at === null ? 'has' : 'had'} this key`
  return { what, name: row.name, key: claimed.spkiSha256Hex, since: row.created_at }
}
