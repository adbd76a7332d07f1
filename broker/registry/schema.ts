import type { Generated } from 'kysely'
import type { DelegationRow, StationConflictRow, StationUnitRow } from '#broker/registry/station-rows.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import type { EnrolmentRow, RightUseRow } from './enrolment-row.ts'
import type { FactoryRow, VoucherRow } from './factory-rows.ts'
import type { LaneTables } from './lane-rows.ts'
import type { OrderRow } from './orders.ts'
import type { RatchetTables } from './ratchet-rows.ts'

/** The tables of DATA/adit.db as the query layer sees them. Times are wall-clock ms; keys, serials and hashes lower-case hex. */
export interface Tables extends RatchetTables, LaneTables {
  settings: { key: string; value: string }
  principals: PrincipalRow
  keys: KeyRow
  tags: { principal_id: number; tag: string }
  groups: { principal_id: number; name: string }
  subnets: { principal_id: number; cidr: string }
  ipsec_peers: IpsecPeerRow
  negotiations: NegotiationRow
  certificates: CertificateRow
  claims: ClaimRow
  right_uses: RightUseRow
  enrolments: EnrolmentRow
  grants: GrantRow
  audit: AuditTableRow
  host_keys: HostKeyRow
  endpoints: { principal_id: number; endpoint: string; last_authentic: number; up_since: number; suite: SuiteName }
  diagnoses: { principal_id: number; at: number; verdict: string; findings: string }
  data_use: { principal_id: number; day: number; received: number; sent: number; estimated: number }
  tunnel_timestamps: { tunnel_key: string; timestamp: Uint8Array }
  telemetry: TelemetryRow
  arrivals: ArrivalRow
  statements: StatementRow
  trusted_roots: { principal_id: number; roots: string; at: number }
  orders: OrderRow
  factories: FactoryRow
  vouchers: VoucherRow
  delegations: DelegationRow
  station_units: StationUnitRow
  station_conflicts: StationConflictRow
}

export interface PrincipalRow {
  id: Generated<number>
  public_id: string
  kind: 'device' | 'operator' | 'station'
  name: string
  /** 0 or 1. */
  admin: number
  stock: number
  inner6: string
  /** The address as a number, so that the next one is the greatest plus one. */
  inner4: number | null
  created_at: number
  expires_at: number | null
  revoked_at: number | null
  /** JSON of a DataPlan. */
  data_plan: string | null
}

export interface KeyRow {
  /** `identity`: SHA-256 of an SPKI; `tunnel`: an X25519 public key. */
  kind: 'identity' | 'tunnel'
  value: string
  principal_id: number
  created_at: number
  /** A tunnel key that another has replaced: never to be enrolled again, never admitted. */
  retired_at: number | null
}

export interface IpsecPeerRow {
  principal_id: number
  /** The IKE identity that it claims, as text. */
  identity: string
  /** What its association is known by where it has no certificate: 64 hex digits, random. */
  psk_key: string | null
  /** Secrets, in the clear: IKE needs the bytes. Gone with the peer's revocation. */
  psk: Uint8Array | null
  ppk_id: string | null
  ppk: Uint8Array | null
  /** JSON arrays of text. */
  ike_proposals: string
  esp_proposals: string
}

/** A negotiation that came to nothing. */
export interface NegotiationRow {
  id: Generated<number>
  at: number
  /** The peer, where it is known. */
  principal_id: number | null
  /** Address without port. */
  source: string | null
  /** So often since the row before of the same kind. */
  times: number
  /** JSON of a NegotiationFailure. */
  failure: string
}

export interface CertificateRow {
  issuer: string
  serial: string
  principal_id: number
  spki: string
  der: Uint8Array
  not_before: number
  not_after: number
  recorded_at: number
  /** `claim:0123…`; null for a renewal. */
  right_id: string | null
  revoked_at: number | null
  /** A RevocationReason. */
  revoke_reason: string | null
}

export interface ClaimRow {
  id: string
  /** SHA-256 of the secret: the secret itself is nowhere. */
  secret_hash: Uint8Array
  /** `device` for a station, too, which `station` tells. */
  role: 'device' | 'operator'
  /** 0 or 1: a station's, whatever the role says. */
  station: number
  name: string | null
  /** The last number that the name's counter has taken. */
  counter: number
  uses: number
  used: number
  /** JSON arrays of text. */
  tags: string
  groups: string
  admin: number
  /** 0 or 1: a person must say yes to each request. */
  approval: number
  /** JSON array of serial numbers; null: any unit. */
  serials: string | null
  /** `10/m`. */
  rate: string | null
  created_at: number
  expires_at: number
  revoked_at: number | null
}

export interface GrantRow {
  id: Generated<number>
  /** JSON arrays of text. */
  operators: string
  groups: string
  tags: string
  devices: string
  sources: string
  sites: string
  /** JSON array of [from, to]. */
  ports: string
  until: number | null
  created_at: number
  revoked_at: number | null
}

export interface AuditTableRow {
  id: Generated<number>
  at: number
  actor: string
  action: string
  subject: string
  /** JSON object. */
  detail: string | null
  device_id: number | null
}

export interface HostKeyRow {
  device_id: number
  service: string
  /** JSON arrays of OpenSSH public key lines. */
  keys: string
  pinned_at: number
  offered: string | null
  offered_at: number | null
}

export interface TelemetryRow {
  device: number
  boot: number
  seq: number
  /** The arrival that brought it. */
  arrival: number
  name: string
  unit: string | null
  at: number
  quality: number
  /** CBOR. */
  value: Uint8Array
}

/** One batch that brought something new: what followers walk along, far fewer rows than readings. */
export interface ArrivalRow {
  id: number
  device: number
  boot: number
  first_seq: number
  last_seq: number
  readings: number
  received_at: number
}

/** A COSE_Sign1 under the administrator's key. */
export interface StatementRow {
  /** `grant:5`, `peer:0123…`. */
  subject: string
  /** Ed25519 public key, 64 hex digits. */
  signer: string
  version: number
  not_after: number
  bytes: Uint8Array
}
