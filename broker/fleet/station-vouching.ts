import type { Registry } from '#broker/registry/registry.ts'
import type { StoredStatement } from '#broker/registry/statements.ts'
import type { Station } from '#broker/stations/station.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { DelegationStatement, PeerStatement } from '#shared/fleet/statement.ts'
import { outsideScope } from '#shared/fleet/station-scope.ts'
import { days, hours } from '#shared/time/instant.ts'
import { contentKey, delegationSubject } from './wanted-statements.ts'

type VouchingRegistry = Pick<Registry, 'stations' | 'statements' | 'directory'>

/** What the fleet key has signed for a station; `counts`: it is in force, and the ends believe by it. */
export interface SignedDelegation {
  readonly statement: DelegationStatement
  readonly entry: StoredStatement
  readonly counts: boolean
}

/** A statement of a station is renewed, or made the administrator's concern, in the last quarter of its delegation's life. */
const longestNotice = days(30)
/** So much longer a delegation must last for a new statement under it to be worth making. */
const worthwhile = hours(1)

/** Of a station that is not revoked; `now`: wall-clock ms. */
export function delegationFor(
  { statements, directory }: Omit<VouchingRegistry, 'stations'>,
  station: Station,
  now: number,
): SignedDelegation | undefined {
  const { pinned } = statements
  const principal = station.principalId === undefined ? undefined : directory.byId(station.principalId)
  if (pinned === undefined || principal === undefined || station.revokedAt !== undefined) return undefined
  const entry = statements.of(delegationSubject(principal))
  if (entry?.statement.kind !== 'delegation' || toHex(entry.statement.key) !== station.statementKey) return undefined
  const { statement, signer } = entry
  const counts = signer === toHex(pinned) && now >= statement.notBefore && now < statement.notAfter
  return { statement, entry, counts }
}

/** The station whose key has signed it; undefined where that was the administrator, or a key that no station has any more. */
export function stationThatSigned(
  { stations }: Pick<VouchingRegistry, 'stations'>,
  { signer }: Pick<StoredStatement, 'signer'>,
): Station | undefined {
  for (const station of stations.all()) if (station.statementKey === signer) return station
  return undefined
}

/** The delegation by which the ends believe a station's statement now; undefined: they do not. */
export function delegationBehind(registry: VouchingRegistry, entry: StoredStatement, now: number): StoredStatement | undefined {
  const station = stationThatSigned(registry, entry)
  const delegation = station && delegationFor(registry, station, now)
  if (!delegation?.counts || now >= entry.statement.notAfter) return undefined
  if (outsideScope(entry.statement, delegation.statement) !== undefined) return undefined
  return delegation.entry
}

/**
 * How one of a station's devices stands: the station has vouched for it, is to, or cannot (or not for long any more), so that it is the
 * administrator's. `entry`: what is stored of its subject.
 */
export function vouchingOf(
  draft: PeerStatement,
  entry: StoredStatement | undefined,
  { statement: delegation, counts }: SignedDelegation,
  { now, suite }: { now: number; suite: Pick<Suite, 'hash'> },
): 'vouched' | 'waits' | 'none' {
  if (outsideScope({ ...draft, notAfter: delegation.notAfter }, delegation) !== undefined) return 'none'
  const isOwn = entry !== undefined && entry.signer === toHex(delegation.key)
  if (entry !== undefined && !isOwn) return 'none'
  if (entry === undefined || contentKey(entry.statement, suite) !== contentKey(draft, suite)) return counts ? 'waits' : 'none'
  const notice = Math.min(longestNotice, (delegation.notAfter - delegation.notBefore) / 4)
  if (now < entry.statement.notAfter - notice) return 'vouched'
  return counts && delegation.notAfter > entry.statement.notAfter + worthwhile ? 'waits' : 'none'
}
