import { z } from 'zod'
import { type Station, stateOf } from '#broker/stations/station.ts'
import type { StandingRecord } from '#broker/stations/station-unit.ts'
import type { ShownConflict } from '#broker/stations/unit-conflicts.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import { keyFingerprint } from '#shared/fleet/key-fingerprint.ts'
import { days } from '#shared/time/instant.ts'
import { isoTime } from '../iso-time.ts'
import type { Office } from '../office.ts'
import { labels, milliseconds, nothing, type Operation, operation } from '../operation.ts'
import { claimTokens } from './claim-token.ts'

/** How long a station may issue, ms. */
const window = milliseconds.min(60_000, 'a station has a minute at least, as in 60s, 8h or 30d')

const newStation = z.strictObject({
  name: z.string(),
  names: z.string(),
  tags: labels,
  quota: z.int(),
  ttl: window,
  claimTtl: milliseconds.optional(),
})

const extension = z.strictObject({ name: z.string(), quota: z.int().optional(), ttl: window.optional() })

const named = z.strictObject({ name: z.string() })

export const stationOperations: Record<string, Operation> = {
  'station.authorize': operation(newStation, async (office, { claimTtl = days(1), ...asked }) => {
    const { registry, actor } = office
    const tokens = await claimTokens(office)
    const { api, extent } = tokens.reach
    const { station, claim } = await registry.stations.authorize({ ...asked, claimTtl }, registry.claims, actor)
    const claimExpires = isoTime(claim.summary.expiresAt)
    return { claim: tokens.of(claim, 'station'), claimExpires, ...(await document(office, station)), api, extent: extent.api }
  }),
  'station.list': operation(nothing, async (office) => {
    const stations = [...office.registry.stations.all()]
    return Promise.all(stations.map((station) => document(office, station)))
  }),
  'station.show': operation(named, async (office, { name }) => {
    const station = office.registry.stations.get(name)
    const units = await office.registry.stationUnits.list(station)
    const conflicts = await office.registry.stationUnits.conflicts({ all: true })
    return {
      ...(await document(office, station)),
      units: units.map((row) => ({
        unit: row.unit,
        name: row.name,
        state: row.state,
        certificate: row.serial,
        known: isoTime(row.at),
        reason: row.reason,
      })),
      conflicts: conflicts.filter((conflict) => conflict.station === station.station).map(conflictDocument),
    }
  }),
  'station.extend': operation(extension, async (office, { name, ...asked }) =>
    document(office, await office.registry.stations.extend(name, asked, office.actor)),
  ),
  'station.revoke': operation(named.extend({ withUnits: z.boolean().default(false) }), async (office, { name, withUnits }) => {
    const { registry, actor } = office
    const station = await registry.stations.revoke(name, withUnits, actor)
    const units = withUnits ? await registry.stationUnits.devicesOf(station) : []
    for (const unit of units) await registry.devices.revoke(unit.name, actor)
    // Under a fleet key these are reached by nobody now, and the administrator may vouch for them.
    const toSign = withUnits ? 0 : [...registry.statements.all()].filter(({ signer }) => signer === station.statementKey).length
    return { ...(await document(office, station)), unitsRevoked: units.length, toSign }
  }),
  'station.conflicts': operation(z.strictObject({ all: z.boolean().default(false) }), async ({ registry }, { all }) =>
    (await registry.stationUnits.conflicts({ all })).map(conflictDocument),
  ),
}

async function document({ registry, clock, suite }: Office, station: Station): Promise<object> {
  const { certificates, delivered, conflicts } = await registry.stationUnits.counts(station)
  return {
    station: station.station,
    state: stateOf(station, clock.wall()),
    names: station.names,
    first: station.first,
    last: station.last,
    tags: station.tags,
    quota: station.quota,
    issued: certificates,
    delivered,
    conflicts,
    from: isoTime(station.notBefore),
    until: isoTime(station.notAfter),
    entries: station.headNumber,
    synced: isoTime(station.syncedAt),
    /** Fingerprint of the key by which it vouches under a fleet key. */
    statementKey: station.statementKey === undefined ? null : keyFingerprint(fromHex(station.statementKey), suite),
    revoked: isoTime(station.revokedAt),
  }
}

const conflictDocument = ({ id, at, kind, station, ours, other, solvedAt }: ShownConflict): object => ({
  id,
  at: isoTime(at),
  kind,
  station,
  ours: record(ours),
  other: record(other),
  solved: isoTime(solvedAt),
})

const record = ({ since, ...rest }: StandingRecord): object => ({
  ...rest,
  ...(since !== undefined && { since: isoTime(since) }),
})
