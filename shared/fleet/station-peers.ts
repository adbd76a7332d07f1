import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type AditError, isAditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { type DelegationStatement, namesKey, openStatement, type PeerStatement, refused, subjectOf } from './statement.ts'
import { outsideScope } from './station-scope.ts'
import { type TraitRecord, traitsOf, VouchedTraits } from './vouched-traits.ts'

interface StationPeersOptions {
  readonly suite: Pick<Suite, 'ed25519' | 'hash'>
  readonly fleet: Uint8Array
  time(): WallTime
}

/** A device for which a station has vouched. */
export interface StationPeer {
  readonly bytes: Uint8Array
  readonly statement: PeerStatement
  /** Id and key of the delegation under which it counts. */
  readonly station: string
  readonly key: Uint8Array
}

/** The devices for which stations have vouched, each as long as its delegation holds and nobody with a better right speaks of it. */
export class StationPeers {
  readonly traits: VouchedTraits
  readonly #options: StationPeersOptions
  #held = new Map<string, StationPeer>()

  constructor(options: StationPeersOptions, traits?: TraitRecord) {
    this.#options = options
    this.traits = new VouchedTraits(traits)
  }

  get all(): ReadonlyMap<string, StationPeer> {
    return this.#held
  }

  clear(): void {
    this.#held = new Map()
  }

  /**
   * Takes these beside what is held, whatever their order: of one station the newest word holds, and of what two stations claim in one breath
   * nobody says whose it is. Returns why others were refused.
   */
  take(statements: readonly Uint8Array[], delegations: readonly DelegationStatement[]): AditError[] {
    const refusals: AditError[] = []
    const opened: StationPeer[] = []
    const attempt = (work: () => void): void => {
      try {
        work()
      } catch (error) {
        if (!isAditError(error)) throw error
        refusals.push(error)
      }
    }
    for (const bytes of statements) attempt(() => opened.push(this.open(bytes, delegations)))
    const claims = new Map<string, Set<string>>()
    for (const { statement, station } of opened)
      for (const trait of traitsOf(statement)) claims.set(trait, (claims.get(trait) ?? new Set()).add(station))
    for (const peer of opened.sort((a, b) => b.statement.version - a.statement.version))
      attempt(() => {
        const shared = traitsOf(peer.statement).find((trait) => (claims.get(trait)?.size ?? 0) > 1)
        if (shared !== undefined) throw refused(`two stations have vouched for ${shared}`)
        this.#admit(peer)
        this.#held.set(subjectOf(peer.statement), peer)
      })
    return refusals
  }

  /** What a statement says that somebody shows; it is not held. Throws AditError `statement-refused`. */
  judge(bytes: Uint8Array, delegations: readonly DelegationStatement[]): StationPeer {
    const peer = this.open(bytes, delegations)
    this.#admit(peer)
    return peer
  }

  /** Under one of the delegations, and not against what is remembered. Throws AditError `statement-refused`. */
  open(bytes: Uint8Array, delegations: readonly DelegationStatement[]): StationPeer {
    const { suite } = this.#options
    const keys = delegations.map(({ key }) => key)
    const statement = openStatement(bytes, keys, this.#options.time(), this.#options)
    const delegation = delegations.find(({ key }) => namesKey(bytes, [key], suite))
    const why = delegation === undefined ? 'no delegation is for its key' : outsideScope(statement, delegation)
    if (why !== undefined || delegation === undefined || statement.kind !== 'peer') throw refused(why ?? 'it is of no device')
    const against = this.traits.against(delegation.id, statement)
    if (against !== undefined) throw refused(against)
    return { bytes: Uint8Array.from(bytes), statement, station: delegation.id, key: delegation.key }
  }

  /** Whether one that is held counts now. `delegation`: the one in force of its station, if there is any. */
  counts({ statement, station, key }: StationPeer, delegation: DelegationStatement | undefined): boolean {
    const now = this.#options.time()
    return (
      delegation !== undefined &&
      equalPublic(delegation.key, key) &&
      now >= statement.notBefore &&
      now < statement.notAfter &&
      outsideScope(statement, delegation) === undefined &&
      this.traits.against(station, statement) === undefined
    )
  }

  #admit({ statement, station }: StationPeer): void {
    const against = this.traits.against(station, statement)
    if (against !== undefined) throw refused(against)
    this.traits.vouch(station, statement)
  }
}
