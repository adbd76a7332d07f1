import type { GrantStatement, PeerStatement } from '#shared/fleet/statement.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** Ports of a device that one operator may open there, under one grant. */
export interface OpenPorts {
  readonly from: number
  readonly to: number
  /** `id` of the grant. */
  readonly grant: string
  readonly notAfter: WallTime
}

/** What the grants open between the two, whoever showed them: a grant for others opens nothing. */
export function portsBetween(operator: PeerStatement, device: PeerStatement, grants: readonly GrantStatement[]): OpenPorts[] {
  if (operator.role !== 'operator' || device.role !== 'device') return []
  const until = Math.min(operator.notAfter, device.notAfter)
  return grants
    .filter((grant) => isOf(operator, grant) && isFor(device, grant))
    .flatMap(({ id, ports, notAfter }) =>
      ports.map(({ from, to }) => ({ from, to, grant: id, notAfter: Math.min(notAfter, until) as WallTime })),
    )
}

const isOf = ({ name, groups }: PeerStatement, grant: GrantStatement): boolean =>
  grant.operators.includes(name) || grant.groups.some((group) => groups.includes(group))

const isFor = ({ name, tags }: PeerStatement, grant: GrantStatement): boolean =>
  grant.devices.includes(name) || grant.tags.some((tag) => tags.includes(tag))
