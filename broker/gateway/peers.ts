import type { Directory } from '#broker/registry/directory.ts'
import type { TimestampRecord } from '#broker/registry/presence.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { DataPlane } from '#shared/dataplane/data-plane.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Association, Endpoint } from '#shared/tunnel/association.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import type { Admission, WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'

interface Attachment {
  association: WireguardAssociation
  /** The inner addresses that are routed to it. */
  addresses: readonly string[]
}

/**
 * Binds associations to principals: who is admitted, and which inner addresses are routed to whom. An association is made on the first
 * authentic initiation of an admitted key, or from what an earlier run knew; never for all the registry at once.
 */
export class Peers {
  readonly #directory: Directory
  readonly #clock: Clock
  readonly #endpoint: WireguardEndpoint
  readonly #plane: DataPlane
  readonly #attached = new Map<number, Attachment>()
  /** The last TAI64N taken from each key, by hex: from disk, and from associations that are gone. */
  readonly #timestamps: Map<string, Uint8Array>
  readonly #unwritten = new Map<string, Uint8Array>()

  constructor(options: {
    directory: Directory
    clock: Clock
    endpoint: WireguardEndpoint
    plane: DataPlane
    timestamps: Map<string, Uint8Array>
  }) {
    this.#directory = options.directory
    this.#clock = options.clock
    this.#endpoint = options.endpoint
    this.#plane = options.plane
    this.#timestamps = options.timestamps
  }

  /** The answer to an initiation by a key that has no association: only a valid binding lets it in (DESIGN D4). */
  static admit(
    directory: Directory,
    clock: Clock,
    timestamps: Map<string, Uint8Array>,
    publicKey: Uint8Array,
  ): Admission | undefined {
    const key = toHex(publicKey)
    const principal = directory.byTunnelKey(key)
    if (principal === undefined || !directory.isAdmitted(principal, clock.wall())) return undefined
    return { lastTimestamp: timestamps.get(key) }
  }

  get size(): number {
    return this.#attached.size
  }

  of(principalId: number): WireguardAssociation | undefined {
    return this.#attached.get(principalId)?.association
  }

  *entries(): Iterable<[principalId: number, association: WireguardAssociation]> {
    for (const [id, { association }] of this.#attached) yield [id, association]
  }

  /** An association has a session: its owner's inner addresses are routed to it. False: nobody admitted owns it any more. */
  attach(association: Association): boolean {
    const principal = this.#directory.byTunnelKey(association.peerKey)
    const own = this.#endpoint.association(association.peerKey)
    if (own === undefined || principal === undefined || !this.#directory.isAdmitted(principal, this.#clock.wall())) {
      if (own) this.#remove(own)
      return false
    }
    this.#bind(principal, own)
    return true
  }

  /** Makes the association of a principal that an earlier run knew at `endpoint`. */
  restore(principal: Principal, endpoint: Endpoint): WireguardAssociation | undefined {
    const key = principal.tunnelKey
    if (key === undefined || !this.#directory.isAdmitted(principal, this.#clock.wall())) return undefined
    const known = this.#endpoint.association(key)
    if (known) return known
    const peer = { publicKey: fromHex(key), endpoint, lastTimestamp: this.#timestamps.get(key) }
    const association = this.#endpoint.addPeer(peer, this.#clock.now())
    this.#bind(principal, association)
    return association
  }

  /** The principal has changed: its routes follow, and an association of a former key or of one that is no longer admitted goes. */
  refresh(principal: Principal): 'kept' | 'removed' | 'absent' {
    const attachment = this.#attached.get(principal.id)
    const admitted = this.#directory.isAdmitted(principal, this.#clock.wall())
    if (attachment === undefined) {
      // It may be in the middle of its first handshake.
      const begun = admitted || principal.tunnelKey === undefined ? undefined : this.#endpoint.association(principal.tunnelKey)
      if (begun) this.#remove(begun)
      return begun ? 'removed' : 'absent'
    }
    if (!admitted || attachment.association.peerKey !== principal.tunnelKey) {
      this.drop(principal.id)
      return 'removed'
    }
    this.#bind(principal, attachment.association)
    return 'kept'
  }

  /** Ends the principal's association, its routes and its flows, at once. */
  drop(principalId: number): void {
    const attachment = this.#attached.get(principalId)
    if (attachment === undefined) return
    this.#attached.delete(principalId)
    this.#remove(attachment.association)
  }

  lastTimestamp(tunnelKey: string): Uint8Array | undefined {
    return this.#endpoint.association(tunnelKey)?.lastTimestamp ?? this.#timestamps.get(tunnelKey)
  }

  /** An initiation's timestamp has been taken: it is to be on disk before long, so that a restart refuses its replay. */
  took(association: Association): void {
    const timestamp = this.#endpoint.association(association.peerKey)?.lastTimestamp
    if (timestamp) this.#unwritten.set(association.peerKey, timestamp)
  }

  /** The timestamps that are not on disk; the caller writes them, or gives them back. */
  takeUnwritten(): TimestampRecord[] {
    const records = [...this.#unwritten].map(([tunnelKey, timestamp]) => ({ tunnelKey, timestamp }))
    this.#unwritten.clear()
    return records
  }

  /** These could not be written. */
  giveBack(records: readonly TimestampRecord[]): void {
    for (const { tunnelKey, timestamp } of records) if (!this.#unwritten.has(tunnelKey)) this.#unwritten.set(tunnelKey, timestamp)
  }

  #bind(principal: Principal, association: WireguardAssociation): void {
    const before = this.#attached.get(principal.id)
    if (before?.association === association && before.addresses === principal.addresses) return
    if (before && before.association !== association) this.#remove(before.association)
    for (const address of before?.addresses ?? []) this.#plane.routes.remove(address)
    for (const address of principal.addresses) this.#plane.routes.insert(address, association)
    this.#attached.set(principal.id, { association, addresses: principal.addresses })
  }

  #remove(association: WireguardAssociation): void {
    const { lastTimestamp, peerKey } = association
    if (lastTimestamp) this.#timestamps.set(peerKey, lastTimestamp)
    this.#plane.detach(association, this.#clock.now())
    this.#endpoint.removePeer(association)
  }
}
