import type { Generated } from 'kysely'

/** What a station was authorised to do, and how far it has come. Times are wall-clock ms. */
export interface DelegationRow {
  id: Generated<number>
  /** The claim by which the station enrols. */
  claim_id: string
  station: string
  names: string
  /** What two patterns share that could make the same name. */
  stem: string
  first: number
  last: number
  quota: number
  /** JSON array of text. */
  tags: string
  not_before: number
  not_after: number
  created_at: number
  revoked_at: number | null
  /** 1 where its units were revoked with it. */
  units_revoked: number
  /** Once it has enrolled. */
  principal_id: number | null
  /** SHA-256 of its CA's SPKI, hex; that certificate, and behind it those that it had before, DER: once it has asked for it. */
  issuer: string | null
  ca: Uint8Array | null
  /** How far its ledger is known here. */
  head_number: number
  head_hash: Uint8Array | null
  synced_at: number | null
  /** By which it vouches for its devices: Ed25519, hex; once it has told it. */
  statement_key: string | null
}

/** `refused`: it does not fit, and stands for nobody. `replaced`: another certificate of the same unit came in its place. */
export type StationUnitState = 'issued' | 'delivered' | 'scrapped' | 'replaced' | 'refused'

/** A certificate that a station caused. */
export interface StationUnitRow {
  issuer: string
  serial: string
  delegation_id: number
  /** The board's serial number: unknown while the unit itself has called and its station has not. */
  unit: string | null
  name: string
  spki: string
  der: Uint8Array
  principal_id: number | null
  state: StationUnitState
  at: number
  /** Why it was scrapped. */
  reason: string | null
}

/** Two records that cannot both be right. */
export interface StationConflictRow {
  id: Generated<number>
  at: number
  kind: string
  delegation_id: number
  issuer: string
  serial: string
  /** JSON: what the station says, and what stands against it. */
  ours: string
  other: string
  solved_at: number | null
}
