import type { Principal } from './principal.ts'

export type ClaimRole = 'device' | 'operator'

export interface NewClaim {
  role: ClaimRole
  /** A name, or a pattern with a counter (`pi-{n}`, `pi-###`); without one, names are made from the enrolled key. */
  name?: string
  /** 1 unless said otherwise. */
  uses?: number
  /** Milliseconds; 24 hours unless said otherwise. */
  ttl?: number
  tags?: readonly string[]
  groups?: readonly string[]
  admin?: boolean
}

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
  readonly createdAt: number
  readonly expiresAt: number
  readonly revokedAt?: number
  readonly state: 'open' | 'used' | 'expired' | 'revoked'
}

export interface Redemption {
  /** 16 hex digits: the user name of HTTP Basic. */
  id: string
  /** 16 bytes. */
  secret: Uint8Array
  role: ClaimRole
  /** SHA-256 of the SPKI of the key to be certified, hex. */
  spkiSha256: string
  /** X25519 key whose possession was proven, 64 hex digits. */
  tunnelKey?: string
}

export interface Redeemed {
  readonly principal: Principal
  /** True where this (claim, key) had been redeemed before: nothing was burnt. */
  readonly repeated: boolean
  /** DER of the certificate that was recorded for this (claim, key) before: to be returned instead of a new one. */
  readonly certificate: Uint8Array | undefined
}

export declare class ClaimStore {
  /** Resolves after the commit; the secret (16 bytes) is nowhere but in the answer. */
  create(claim: NewClaim): Promise<{ summary: ClaimSummary; id: Uint8Array; secret: Uint8Array }>
  list(): Promise<ClaimSummary[]>
  /** Throws AditError `claim-unknown`. */
  revoke(id: string): Promise<ClaimSummary>
  /** Throws AditError claim-unknown (also for a wrong secret) | claim-wrong-role | claim-revoked | claim-expired | claim-used | name-taken | revoked. */
  redeem(request: Redemption): Promise<Redeemed>
}
