import type { Directory } from '#broker/registry/directory.ts'
import { type Principal, peerKeysOf } from '#broker/registry/principal.ts'
import type { DataPlane } from '#shared/dataplane/data-plane.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Association, PeerEndpoint } from '#shared/tunnel/association.ts'

interface Attachment {
  association: Association
  /** The principal as it was when its routes were made. */
  principal: Principal
}

/**
 * Binds associations to principals: who is admitted, and which inner addresses and subnets are routed to whom. A principal has one
 * association at a time: the one that was established last, in whichever suite.
 */
export class Peers {
  readonly #directory: Directory
  readonly #clock: Clock
  readonly #endpoints: readonly PeerEndpoint[]
  readonly #plane: DataPlane
  readonly #attached = new Map<number, Attachment>()

  /** `endpoints`: one a suite. */
  constructor(options: { directory: Directory; clock: Clock; endpoints: readonly PeerEndpoint[]; plane: DataPlane }) {
    this.#directory = options.directory
    this.#clock = options.clock
    this.#endpoints = options.endpoints
    this.#plane = options.plane
  }

  get size(): number {
    return this.#attached.size
  }

  of(principalId: number): Association | undefined {
    return this.#attached.get(principalId)?.association
  }

  *entries(): Iterable<[principalId: number, association: Association]> {
    for (const [id, { association }] of this.#attached) yield [id, association]
  }

  /** The endpoint that the association lives in; undefined once it has been removed. */
  endpointOf(association: Association): PeerEndpoint | undefined {
    return this.#endpoints.find((endpoint) => endpoint.association(association.peerKey) === association)
  }

  /** An association has a session: what its owner has inside is routed to it. False: nobody admitted owns it any more. */
  attach(association: Association): boolean {
    const principal = this.#directory.byPeerKey(association.peerKey)
    if (principal === undefined || !this.#directory.isAdmitted(principal, this.#clock.wall())) {
      this.#remove(association)
      return false
    }
    this.bind(principal, association)
    return true
  }

  /** Routes what is the principal's to this association; another one that it had goes. */
  bind(principal: Principal, association: Association): void {
    const before = this.#attached.get(principal.id)
    if (before?.association === association && sameRoutes(before.principal, principal)) return
    for (const prefix of before ? prefixesOf(before.principal) : []) this.#plane.routes.remove(prefix)
    for (const prefix of prefixesOf(principal)) this.#plane.routes.insert(prefix, association)
    this.#attached.set(principal.id, { association, principal })
    // Last: whoever hears of its end finds the new one.
    if (before && before.association !== association) this.#remove(before.association)
  }

  /** The principal has changed: its routes follow, and an association of a former key or of one that is no longer admitted goes. */
  refresh(principal: Principal): 'kept' | 'removed' | 'absent' {
    const attachment = this.#attached.get(principal.id)
    const admitted = this.#directory.isAdmitted(principal, this.#clock.wall())
    if (attachment === undefined) return !admitted && this.#removeBegun(principal) ? 'removed' : 'absent'
    if (!admitted || this.#directory.byPeerKey(attachment.association.peerKey)?.id !== principal.id) {
      this.drop(principal.id)
      return 'removed'
    }
    this.bind(principal, attachment.association)
    return 'kept'
  }

  /** Ends the principal's association, its routes and its flows, at once. */
  drop(principalId: number): void {
    const attachment = this.#attached.get(principalId)
    if (attachment === undefined) return
    this.#attached.delete(principalId)
    this.#remove(attachment.association)
  }

  /** It may be in the middle of its first handshake. */
  #removeBegun(principal: Principal): boolean {
    let removed = false
    for (const endpoint of this.#endpoints) {
      for (const key of peerKeysOf(principal)) {
        const begun = endpoint.association(key)
        if (begun === undefined) continue
        this.#remove(begun)
        removed = true
      }
    }
    return removed
  }

  #remove(association: Association): void {
    this.#plane.detach(association, this.#clock.now())
    this.endpointOf(association)?.removePeer(association)
  }
}

const prefixesOf = ({ addresses, subnets }: Principal): readonly string[] => [...addresses, ...subnets]

const sameRoutes = (one: Principal, other: Principal): boolean => prefixesOf(one).join() === prefixesOf(other).join()
