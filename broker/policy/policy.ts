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
 * Default deny (DESIGN D14). Synchronous and in memory: asked at every flow. An operator is permitted ports of a device; an operator,
 * or a device with what lies behind it, is permitted ports of the hosts behind a device. A device itself is open to operators alone:
 * device to device is closed by the kinds, whatever the grants say.
 */
export class Policy {
  #grants: readonly Grant[] = []
  readonly #byOperator = new Map<string, Grant[]>()
  readonly #byGroup = new Map<string, Grant[]>()
  /** By the device from which flows begin. */
  readonly #bySource = new Map<string, Grant[]>()

  /** The owner's: puts the unrevoked grants in place of all before. */
  replace(grants: readonly Grant[]): void {
    this.#grants = grants.filter(({ revokedAt }) => revokedAt === undefined)
    for (const map of [this.#byOperator, this.#byGroup, this.#bySource]) map.clear()
    for (const grant of this.#grants) {
      for (const name of grant.operators) put(this.#byOperator, name, grant)
      for (const name of grant.groups) put(this.#byGroup, name, grant)
      for (const name of grant.from) put(this.#bySource, name, grant)
    }
  }

  /** The unrevoked ones, expired ones included. */
  get grants(): readonly Grant[] {
    return this.#grants
  }

  /** Whether `operator` may reach `asked` on `device` at `nowWall` (ms). Admins read everything; ports need a grant also of them. */
  permits(operator: Principal, device: Principal, asked: Asked, nowWall: number): GrantHit | undefined {
    if (!mayMeet(operator, device)) return undefined
    const reads = typeof asked !== 'number'
    if (reads && operator.admin) return {}
    for (const grant of this.#grantsOf(operator)) {
      // Whoever reaches the hosts behind a device may see it, to learn why they do not answer.
      if (!holds(grant, device, nowWall) && !(reads && holdsBehind(grant, device, nowWall))) continue
      if (!reads && !opens(grant, asked)) continue
      return hit(grant)
    }
    return undefined
  }

  /**
   * Whether `who` may reach a TCP or UDP port, or by echo, of the hosts in the subnets of `site` at `nowWall` (ms). With a device as
   * `who` that holds for itself and for the hosts behind it. Of several grants the one that lasts longest.
   */
  permitsBehind(who: Principal, site: Principal, asked: number | 'echo', nowWall: number): GrantHit | undefined {
    if (who.revokedAt !== undefined || site.revokedAt !== undefined || who.id === site.id || site.kind !== 'device')
      return undefined
    let best: Grant | undefined
    for (const grant of this.#grantsOf(who)) {
      if (!holdsBehind(grant, site, nowWall)) continue
      if (asked === 'echo' ? grant.ports.length === 0 : !opens(grant, asked)) continue
      if (best === undefined || endOf(grant) > endOf(best)) best = grant
    }
    return best && hit(best)
  }

  /** Whether the device is to be seen at all: admins see all, others what a grant of theirs names. */
  sees(operator: Principal, device: Principal, nowWall: number): boolean {
    return this.permits(operator, device, 'telemetry', nowWall) !== undefined
  }

  /** The grants that hold at `nowWall` between an operator and the device itself, for `why`. */
  grantsBetween(operator: Principal, device: Principal, nowWall: number): Grant[] {
    if (!mayMeet(operator, device)) return []
    return [...new Set(this.#grantsOf(operator))].filter((grant) => holds(grant, device, nowWall))
  }

  *#grantsOf({ kind, name, groups }: Principal): Iterable<Grant> {
    if (kind === 'device') yield* this.#bySource.get(name) ?? []
    if (kind !== 'operator') return
    yield* this.#byOperator.get(name) ?? []
    for (const group of groups) yield* this.#byGroup.get(group) ?? []
  }
}

/** A revoked end is denied here too, so that a caller who forgot to ask about admission still denies. */
const mayMeet = (operator: Principal, device: Principal): boolean =>
  operator.kind === 'operator' && device.kind === 'device' && operator.revokedAt === undefined && device.revokedAt === undefined

const lasts = (grant: Grant, nowWall: number): boolean => grant.until === undefined || nowWall < grant.until

/** Whether the grant speaks of the device itself. */
const holds = (grant: Grant, device: Principal, nowWall: number): boolean =>
  lasts(grant, nowWall) && (grant.devices.includes(device.name) || grant.tags.some((tag) => device.tags.includes(tag)))

/** Whether it speaks of what lies behind the device. */
const holdsBehind = (grant: Grant, site: Principal, nowWall: number): boolean =>
  lasts(grant, nowWall) && grant.to.includes(site.name)

const opens = (grant: Grant, port: number): boolean => grant.ports.some(({ from, to }) => port >= from && port <= to)

const endOf = ({ until }: Grant): number => until ?? Number.POSITIVE_INFINITY

const hit = ({ id, until }: Grant): GrantHit => ({ grantId: id, ...(until === undefined ? {} : { until }) })

function put(map: Map<string, Grant[]>, key: string, grant: Grant): void {
  const grants = map.get(key)
  if (grants) grants.push(grant)
  else map.set(key, [grant])
}
