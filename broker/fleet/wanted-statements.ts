import type { Grant } from '#broker/policy/grant.ts'
import type { HostKeys } from '#broker/registry/host-keys.ts'
import type { Order } from '#broker/registry/orders.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Station } from '#broker/stations/station.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type {
  DelegationStatement,
  GrantStatement,
  HostKeysStatement,
  PeerStatement,
  Statement,
  WipeStatement,
  WithdrawalStatement,
} from '#shared/fleet/statement.ts'
import { encodeBody } from '#shared/fleet/statement-body.ts'
import { wallTime } from '#shared/time/instant.ts'

/**
 * What the registry would have signed, as drafts: statements of version 0 that begin at the beginning of time, and end where the registry
 * says that they end. Who signs them gives them their version and their span.
 */

/** Ends of drafts that the registry sets no end to: the last moment of the year 9999. */
export const noEnd = wallTime(Date.UTC(10_000, 0, 1) - 1)

const draftScope = (fleet: Uint8Array, end: number = noEnd) => ({
  fleet,
  version: 0,
  notBefore: wallTime(0),
  notAfter: wallTime(end),
})

export const peerDraft = (fleet: Uint8Array, principal: Principal): PeerStatement => ({
  ...draftScope(fleet),
  kind: 'peer',
  id: principal.publicId,
  name: principal.name,
  role: principal.kind === 'operator' ? 'operator' : 'device',
  tunnelKey: principal.tunnelKey === undefined ? undefined : fromHex(principal.tunnelKey),
  addresses: principal.addresses,
  tags: [...principal.tags].sort(),
  groups: [...principal.groups].sort(),
})

export const hostKeysDraft = (fleet: Uint8Array, device: Principal, { service, keys }: HostKeys): HostKeysStatement => ({
  ...draftScope(fleet),
  kind: 'host-keys',
  device: device.publicId,
  service,
  keys,
})

/** Undefined where no agent has to judge it: grants between sites are for the broker and the routers alone. */
export function grantDraft(fleet: Uint8Array, grant: Grant): GrantStatement | undefined {
  const { id, operators, groups, devices, tags, ports, until } = grant
  if (operators.length + groups.length === 0 || devices.length + tags.length === 0 || ports.length === 0) return undefined
  return { ...draftScope(fleet, until), kind: 'grant', id: String(id), operators, groups, devices, tags, ports }
}

/** The order to forget the fleet that waits for a device. */
export const wipeDraft = (
  fleet: Uint8Array,
  { id, identity, nextClaim }: Order,
  device: Principal,
  suite: Pick<Suite, 'hash'>,
): WipeStatement => ({
  ...draftScope(fleet),
  kind: 'wipe',
  id,
  device: device.name,
  identity: fromHex(identity),
  next: nextClaim === undefined ? undefined : suite.hash('sha256', Buffer.from(nextClaim)),
})

export const delegationSubject = ({ publicId }: Pick<Principal, 'publicId'>): string => `delegation:${publicId}`

/** Lets a station vouch for its devices; undefined while it has not told its key. `principal`: as which it has enrolled. */
export function delegationDraft(fleet: Uint8Array, station: Station, principal: Principal): DelegationStatement | undefined {
  if (station.statementKey === undefined) return undefined
  const { names, first, last, tags, notAfter } = station
  return {
    ...draftScope(fleet, notAfter),
    kind: 'delegation',
    id: principal.publicId,
    station: station.station,
    key: fromHex(station.statementKey),
    names,
    first,
    last,
    tags: [...tags].sort(),
  }
}

export const withdrawalDraft = (fleet: Uint8Array, subject: string): WithdrawalStatement => {
  const colon = subject.indexOf(':')
  const of = subject.slice(0, colon) as WithdrawalStatement['of']
  return { ...draftScope(fleet), kind: 'withdrawal', of, subject: subject.slice(colon + 1) }
}

/** The same for two statements that say the same, whenever and by whomever they were signed. */
export const contentKey = (statement: Statement, suite: Pick<Suite, 'hash'>): string =>
  toHex(suite.hash('sha256', encodeBody({ ...statement, version: 0, notBefore: wallTime(0), notAfter: noEnd })))
