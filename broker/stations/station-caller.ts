import type { Caller } from '#broker/api/caller.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Station } from '#broker/stations/station.ts'
import { AditError } from '#shared/errors.ts'

/** The station that asks. Throws AditError `forbidden` where nothing was delegated to it. */
export async function stationOf({ stations }: Pick<Registry, 'stations'>, { principal }: Caller): Promise<Station> {
  const station = await stations.ofPrincipal(principal)
  if (station) return station
  const mend = 'Authorise it: adit-broker station authorize'
  throw new AditError('forbidden', `Nothing was delegated to ${principal.name}.`, mend)
}
