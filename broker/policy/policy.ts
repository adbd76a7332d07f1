import type { Principal } from '#broker/registry/principal.ts'
import type { Grant } from './grant.ts'

/** Why a flow is allowed. */
export interface GrantHit {
  /** The grant's number; absent where an admin reads. */
  readonly grantId?: number
  readonly until?: number
}

/** A TCP or UDP port of the device, or the right to read what it has told and what was done to it. */
export type Asked = number | 'telemetry' | 'audit'

/**
 * Default deny (DESIGN D14). Synchronous and in memory: asked at every flow. Only an operator is ever permitted anything, and only on
 * a device: device to device is closed by the kinds alone, whatever the grants say.
 */
export class Policy {
  readonly #byOperator = new Map<string, Grant[]>()
  readonly #byGroup = new Map<string, Grant[]>()

  /** The owner's: puts the unrevoked grants in place of all before. */
  replace(grants: readonly Grant[]): void {
    this.#byOperator.clear()
    this.#byGroup.clear()
    for (const grant of grants) {
      if (grant.revokedAt !== undefined) continue
      for (const name of grant.operators) put(this.#byOperator, name, grant)
      for (const name of grant.groups) put(this.#byGroup, name, grant)
    }
  }

  /** Whether `operator` may reach `asked` on `device` at `nowWall` (ms). Admins read everything; ports need a grant also of them. */
  permits(operator: Principal, device: Principal, asked: Asked, nowWall: number): GrantHit | undefined {
    if (!mayMeet(operator, device)) return undefined
    const reads = typeof asked !== 'number'
    if (reads && operator.admin) return {}
    for (const grant of this.#grantsOf(operator)) {
      if (!holds(grant, device, nowWall)) continue
      if (!reads && !grant.ports.some(({ from, to }) => asked >= from && asked <= to)) continue
      return { grantId: grant.id, ...(grant.until === undefined ? {} : { until: grant.until }) }
    }
    return undefined
  }

  /** Whether the device is to be seen at all: admins see all, others what a grant of theirs names. */
  sees(operator: Principal, device: Principal, nowWall: number): boolean {
    return this.permits(operator, device, 'telemetry', nowWall) !== undefined
  }

  /** The grants that hold at `nowWall` between the two, for `why`. */
  grantsBetween(operator: Principal, device: Principal, nowWall: number): Grant[] {
    if (!mayMeet(operator, device)) return []
    return [...new Set(this.#grantsOf(operator))].filter((grant) => holds(grant, device, nowWall))
  }

  *#grantsOf(operator: Principal): Iterable<Grant> {
    yield* this.#byOperator.get(operator.name) ?? []
    for (const group of operator.groups) yield* this.#byGroup.get(group) ?? []
  }
}

/** A revoked end is denied here too, so that a caller who forgot to ask about admission still denies. */
const mayMeet = (operator: Principal, device: Principal): boolean =>
  operator.kind === 'operator' && device.kind === 'device' && operator.revokedAt === undefined && device.revokedAt === undefined

function holds(grant: Grant, device: Principal, nowWall: number): boolean {
  if (grant.until !== undefined && nowWall >= grant.until) return false
  return grant.devices.includes(device.name) || grant.tags.some((tag) => device.tags.includes(tag))
}

function put(map: Map<string, Grant[]>, key: string, grant: Grant): void {
  const grants = map.get(key)
  if (grants) grants.push(grant)
  else map.set(key, [grant])
}
