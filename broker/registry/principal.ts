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
  /** A stock WireGuard peer: no certificate, admitted by its key alone. */
  readonly stock: boolean
}

export type PrincipalKind = 'device' | 'operator' | 'station'

/** How long an expired certificate may still renew itself, in days (DESIGN D4). */
export const RENEWAL_GRACE_DAYS = 400
