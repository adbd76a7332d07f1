import type { Selectable } from 'kysely'
import { AditError } from '#shared/errors.ts'
import { tryParseDuration } from '#shared/time/duration-text.ts'
import type { Duration } from '#shared/time/instant.ts'
import type { ClaimRow } from './schema.ts'

export type ClaimRole = 'device' | 'operator' | 'station'

/** A claim as a list shows it: no secret. */
export interface ClaimSummary {
  /** 16 hex digits. */
  readonly id: string
  readonly role: ClaimRole
  readonly name: string | undefined
  readonly uses: number
  readonly used: number
  readonly tags: readonly string[]
  readonly groups: readonly string[]
  readonly admin: boolean
  /** Whether a person must say yes to each request. */
  readonly approval: boolean
  /** The units that it is for; undefined: any. */
  readonly serials: readonly string[] | undefined
  /** `10/m`; undefined: at any pace. */
  readonly rate: string | undefined
  readonly createdAt: number
  readonly expiresAt: number
  readonly revokedAt?: number
  readonly state: 'open' | 'used' | 'expired' | 'revoked'
}

export const roleOf = ({ role, station }: Pick<Selectable<ClaimRow>, 'role' | 'station'>): ClaimRole =>
  station === 1 ? 'station' : role

export function toSummary(row: Selectable<ClaimRow>, now: number): ClaimSummary {
  return {
    id: row.id,
    role: roleOf(row),
    name: row.name ?? undefined,
    uses: row.uses,
    used: row.used,
    tags: JSON.parse(row.tags) as string[],
    groups: JSON.parse(row.groups) as string[],
    admin: row.admin === 1,
    approval: row.approval === 1,
    serials: row.serials === null ? undefined : (JSON.parse(row.serials) as string[]),
    rate: row.rate ?? undefined,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
    state: row.revoked_at !== null ? 'revoked' : row.used >= row.uses ? 'used' : now >= row.expires_at ? 'expired' : 'open',
  }
}

/** `10/m`, `100/h`, `5/30s`: how many may enrol in which span of time. Throws AditError `usage`. */
export function parseRate(text: string): { count: number; span: Duration } {
  const [, count, span] = /^([1-9]\d{0,5})\/(\S+)$/.exec(text) ?? []
  const length = tryParseDuration(/^[a-z]+$/.test(span ?? '') ? `1${span}` : (span ?? ''))
  if (count !== undefined && length !== undefined && length > 0) return { count: Number(count), span: length }
  throw new AditError('usage', 'A pace is a number and a span of time.', 'Write it as in 10/m, 100/h or 5/30s.')
}
