import type { Grant, NewGrant } from '#broker/policy/grant.ts'

export declare class GrantStore {
  add(grant: NewGrant): Promise<Grant>
  /** The unrevoked ones, expired ones included, unless `all`. */
  list(options?: { all?: boolean }): Promise<Grant[]>
  /** Throws AditError `not-found`. */
  revoke(id: number): Promise<Grant>
}
