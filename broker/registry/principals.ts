import type { Principal } from './principal.ts'

export interface NewWireguardPeer {
  name: string
  /** 64 hex digits. */
  tunnelKey: string
  tags?: readonly string[]
  /** Wall-clock ms. */
  expiresAt?: number
}

/** The devices, or the operators. Names are as typed; throws AditError `device-unknown` / `not-found`. */
export declare class PrincipalStore {
  list(): Principal[]
  /** Throws where there is none of that name. */
  get(name: string): Principal
  /** A stock WireGuard peer. Throws `name-taken`, `request-refused` (key in use). */
  addWireguard(peer: NewWireguardPeer): Promise<Principal>
  /** For ever: its keys, certificates and the grants that name it (operators). Idempotent. */
  revoke(name: string): Promise<Principal>
  tag(name: string, add: readonly string[], remove: readonly string[]): Promise<Principal>
}
