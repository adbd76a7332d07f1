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

/** Default deny (DESIGN D14). Synchronous and in memory: asked at every flow. */
export declare class Policy {
  /** Whether `operator` may reach `asked` on `device` at `nowWall` (ms). Admins read everything; ports need a grant also of them. */
  permits(operator: Principal, device: Principal, asked: Asked, nowWall: number): GrantHit | undefined
  /** Whether the device is to be seen at all: admins see all, others what a grant of theirs names. */
  sees(operator: Principal, device: Principal, nowWall: number): boolean
  /** The grants that hold at `nowWall` between the two, for `why`. */
  grantsBetween(operator: Principal, device: Principal, nowWall: number): Grant[]
}
