import type { Principal, PrincipalKind } from './principal.ts'

/**
 * Every principal, in memory: the one identity object that routing and authorisation read (DESIGN D14). Synchronous, so that the
 * data lane asks it per flow. The stores change it after their commit, never before.
 */
export class Directory {
  readonly #byId = new Map<number, Principal>()
  readonly #byTunnelKey = new Map<string, Principal>()
  readonly #byAddress = new Map<string, Principal>()
  readonly #byName = new Map<string, Principal>()
  readonly #bySpki = new Map<string, Principal>()
  readonly #byPskKey = new Map<string, Principal>()
  /** PSK peers by the IKE identity that they claim. */
  readonly #byIdentity = new Map<string, Principal>()
  /** Few among many: every negotiation of IPsec asks for all of them. */
  readonly #sites = new Map<number, Principal>()
  /** Two hold the keys of each of these, and it is not known whose tunnel a tunnel would be. */
  readonly #suspended = new Set<number>()

  byId(id: number): Principal | undefined {
    return this.#byId.get(id)
  }

  /** The principal whose present tunnel key this is (64 hex digits, lower case), revoked ones included: ask `isAdmitted`. */
  byTunnelKey(hex: string): Principal | undefined {
    return this.#byTunnelKey.get(hex)
  }

  /** The owner of an inner address in its canonical text (RFC 5952 or dotted). */
  byAddress(text: string): Principal | undefined {
    return this.#byAddress.get(text)
  }

  /** The live one of that name, else the last revoked one. */
  byName(kind: PrincipalKind, name: string): Principal | undefined {
    return this.#byName.get(`${kind} ${name}`)
  }

  /** By the SHA-256 of an identity key's SPKI, hex: of any key that the principal ever enrolled. */
  bySpki(sha256Hex: string): Principal | undefined {
    return this.#bySpki.get(sha256Hex)
  }

  /** By what an association is known by, of either suite: present tunnel key, identity key, or a PSK peer's stand-in (64 hex digits). */
  byPeerKey(hex: string): Principal | undefined {
    return this.#byTunnelKey.get(hex) ?? this.#bySpki.get(hex) ?? this.#byPskKey.get(hex)
  }

  /** The PSK peer that claims this IKE identity (as text, case aside): the live one, else the last revoked one. */
  byIkeIdentity(text: string): Principal | undefined {
    return this.#byIdentity.get(text.toLowerCase())
  }

  /** Who bears an IKE identity (as text), proven or not: the PSK peer that claims it, or whom a certificate calls so. */
  claimant(identity: string): Principal | undefined {
    const name = /^(?:CN=)?([a-z0-9-]{1,63})$/i.exec(identity)?.[1]?.toLowerCase()
    const named = name === undefined ? undefined : (this.byName('device', name) ?? this.byName('operator', name))
    return this.byIkeIdentity(identity) ?? named
  }

  /** Unrevoked principals with networks behind them. */
  sites(): Iterable<Principal> {
    return this.#sites.values()
  }

  *all(kind?: PrincipalKind): Iterable<Principal> {
    for (const principal of this.#byId.values()) if (kind === undefined || principal.kind === kind) yield principal
  }

  /** Whether its tunnel may live at `nowWall` (ms): not revoked nor contested, and its certificate or registration not over. */
  isAdmitted(principal: Principal, nowWall: number): boolean {
    if (principal.revokedAt !== undefined || this.#suspended.has(principal.id)) return false
    return principal.expiresAt === undefined || nowWall < principal.expiresAt
  }

  /** Until `resume` nobody is admitted as this principal; whoever calls tells the registry's listeners. */
  suspend(id: number): void {
    this.#suspended.add(id)
  }

  resume(id: number): void {
    this.#suspended.delete(id)
  }

  /** The owner's: adds a principal or replaces the one of the same id. */
  put(principal: Principal): void {
    const before = this.#byId.get(principal.id)
    if (before?.tunnelKey && before.tunnelKey !== principal.tunnelKey) this.#byTunnelKey.delete(before.tunnelKey)
    this.#byId.set(principal.id, principal)
    if (principal.tunnelKey) this.#byTunnelKey.set(principal.tunnelKey, principal)
    for (const address of principal.addresses) this.#byAddress.set(address, principal)
    for (const key of principal.identityKeys) this.#bySpki.set(key, principal)
    if (principal.subnets.length > 0 && principal.revokedAt === undefined) this.#sites.set(principal.id, principal)
    else this.#sites.delete(principal.id)
    claim(this.#byName, `${principal.kind} ${principal.name}`, principal)
    if (principal.ipsec?.pskKey !== undefined) {
      this.#byPskKey.set(principal.ipsec.pskKey, principal)
      claim(this.#byIdentity, principal.ipsec.identity, principal)
    }
  }
}

/** Of several that have borne a name, the live one or the youngest keeps it. */
function claim(map: Map<string, Principal>, key: string, principal: Principal): void {
  const holder = map.get(key)
  const keeps = holder !== undefined && holder.id !== principal.id && !older(holder, principal)
  if (!keeps) map.set(key, principal)
}

/** Whether `holder` gives its name up to `other`: a live one wins, then the younger. */
function older(holder: Principal, other: Principal): boolean {
  const holderLives = holder.revokedAt === undefined
  const otherLives = other.revokedAt === undefined
  return holderLives === otherLives ? holder.id < other.id : otherLives
}
