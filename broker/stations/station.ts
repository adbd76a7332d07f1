import type { Selectable } from 'kysely'
import type { DelegationRow } from '#broker/registry/station-rows.ts'
import type { Delegation } from '#shared/enrolment/delegation.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { DerReader, Tag } from '#shared/pki/der.ts'

/** A factory line as the registry has it: what it may issue, and how far its ledger is known. In memory; replaced when it changes. */
export interface Station extends Delegation {
  readonly id: number
  /** 16 hex digits. */
  readonly claimId: string
  readonly createdAt: number
  readonly revokedAt?: number
  /** Its units went with it. */
  readonly unitsRevoked: boolean
  /** Once it has enrolled. */
  readonly principalId?: number
  /** Once it has a CA: SHA-256 of its SPKI, hex, and the certificate. */
  readonly issuerHex?: string
  readonly ca?: Certificate
  /** What its CA had before, newest first: the same key, other terms or another CA above it. */
  readonly formerCas: readonly Certificate[]
  /** Entries of its ledger that are known here, and the hash behind the last of them. */
  readonly headNumber: number
  readonly headHash?: Uint8Array
  readonly syncedAt?: number
  /** By which it vouches for its devices under a fleet key: Ed25519, 64 hex digits; once it has told it. */
  readonly statementKey?: string
}

export function toStation(row: Selectable<DelegationRow>): Station {
  const [ca, ...formerCas] = row.ca === null ? [] : certificatesIn(Uint8Array.from(row.ca))
  return {
    id: row.id,
    claimId: row.claim_id,
    station: row.station,
    names: row.names,
    first: row.first,
    last: row.last,
    quota: row.quota,
    tags: JSON.parse(row.tags) as string[],
    notBefore: row.not_before,
    notAfter: row.not_after,
    createdAt: row.created_at,
    unitsRevoked: row.units_revoked === 1,
    headNumber: row.head_number,
    formerCas,
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
    ...(row.principal_id !== null && { principalId: row.principal_id }),
    ...(row.issuer !== null && ca && { issuerHex: row.issuer, ca }),
    ...(row.head_hash !== null && { headHash: Uint8Array.from(row.head_hash) }),
    ...(row.synced_at !== null && { syncedAt: row.synced_at }),
    ...(row.statement_key !== null && { statementKey: row.statement_key }),
  }
}

/** Certificates that stand one behind the other: DER. */
function certificatesIn(bytes: Uint8Array): Certificate[] {
  const all: Certificate[] = []
  for (const reader = new DerReader(bytes); !reader.done; ) all.push(parseCertificate(reader.next(Tag.Sequence).whole))
  return all
}

/** `waiting`: its claim is not used yet; `enrolled`: it has no CA yet. */
export type StationState = 'waiting' | 'enrolled' | 'live' | 'over' | 'revoked'

export function stateOf(station: Station, now: number): StationState {
  if (station.revokedAt !== undefined) return 'revoked'
  if (now >= station.notAfter) return 'over'
  if (station.ca !== undefined) return 'live'
  return station.principalId === undefined ? 'waiting' : 'enrolled'
}
