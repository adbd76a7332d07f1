import type { DataMode } from '#shared/nat/data-budget.ts'

/** Who a tunnel belongs to. Kept lean: ten thousand of them live in memory. Replaced by a new object when anything changes. */
export interface Principal {
  /** Row number in the registry: never used again, never shown. */
  readonly id: number
  /** 32 hex digits, stable for life: what the API shows. */
  readonly publicId: string
  readonly kind: PrincipalKind
  /** Unique among the unrevoked of its kind. */
  readonly name: string
  readonly tags: readonly string[]
  readonly groups: readonly string[]
  /** An operator who sees everything. */
  readonly admin: boolean
  /** X25519 public key of its tunnel, 64 hex digits. */
  readonly tunnelKey: string | undefined
  /** SHA-256 of the SPKI of each identity key that it has had, hex. */
  readonly identityKeys: readonly string[]
  /** Inner addresses: IPv6, then IPv4 where one was allocated. */
  readonly addresses: readonly string[]
  /** Wall-clock ms, as all times here. */
  readonly createdAt: number
  readonly revokedAt?: number
  /** End of a stock peer's registration, or of the newest certificate. */
  readonly expiresAt?: number
  /** A peer without our agent: a stock WireGuard peer, admitted by its key alone, or a stock IPsec peer. */
  readonly stock: boolean
  /** Networks behind it, which are its alone: `192.168.1.0/24`, canonical. */
  readonly subnets: readonly string[]
  /** Of a stock IPsec peer alone. */
  readonly ipsec?: IpsecFacts
  /** What its tunnel's data may cost, where somebody has said so. */
  readonly data?: DataPlan
}

export interface DataPlan {
  readonly mode: DataMode
  /** 10^6 octets at the interface in 30 days, for an idle tunnel. */
  readonly monthlyMegabytes?: number | undefined
  /** On demand: between two polls, 1 to 1440. */
  readonly pollMinutes?: number | undefined
  /** Where network and budget cannot both be had. */
  readonly exceeded?: 'stay' | 'on-demand' | undefined
}

/** What a stock IPsec peer is held to. Its secrets are in `PeerSecrets`, never here: principals are shown and logged. */
export interface IpsecFacts {
  /** What its association is known by where it proves itself by a pre-shared key, 64 hex digits; undefined: it has a certificate. */
  readonly pskKey: string | undefined
  /** The IKE identity that it claims, as text: `plant-a`, `192.0.2.1`, `CN=plant-a`. */
  readonly identity: string
  /** Proposals in order of preference, as strongSwan writes them; empty: what the broker allows everybody. */
  readonly ikeProposals: readonly string[]
  readonly espProposals: readonly string[]
}

/** Everything that an association of this principal may be known by: its tunnel key, its identity keys, its PSK's stand-in. */
export const peerKeysOf = ({ tunnelKey, identityKeys, ipsec }: Principal): readonly string[] => [
  ...(tunnelKey === undefined ? [] : [tunnelKey]),
  ...identityKeys,
  ...(ipsec?.pskKey === undefined ? [] : [ipsec.pskKey]),
]

export type PrincipalKind = 'device' | 'operator' | 'station'

/** How long an expired certificate may still renew itself, in days, where the configuration says nothing else (DESIGN D4). */
export const RENEWAL_GRACE_DAYS = 400

/** Likewise where it is the only one that its device ever had: eleven years, since what lay ten years on a shelf may lie in a drawer too. */
export const SHELF_DAYS = 4_000
