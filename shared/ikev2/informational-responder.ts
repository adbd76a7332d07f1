import { after, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { DeletePayload, IkePayload } from '#shared/wire/ike-payload/payload.ts'
import type { ChildLifecycle } from './child-lifecycle.ts'
import type { ChildSa } from './child-sa.ts'
import { REPLACED_PATIENCE } from './exchange.ts'
import { explainLifetime } from './explain.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import { payloadsOf } from './payload-of.ts'
import { espSpiBytes, espSpiOf } from './spi.ts'

/** An IKE SA that the peer has deleted answers the same request again for as long as the peer may repeat it, and a little longer. */
const LINGER = milliseconds(REPLACED_PATIENCE + 5_000)
/** Deletes of unknown Child SAs that are remembered while a CREATE_CHILD_SA of ours is under way. */
const EARLY_DELETES = 8
/** Whoever deletes a Child SA younger than this has another reason than its age. */
const SHORTEST_LIFETIME = seconds(30)

/** Answers INFORMATIONAL requests: deletes (RFC 7296 §1.4.1, §2.25), and questions that ask for nothing. */
export class InformationalResponder {
  readonly #state: IkeState
  readonly #lifecycle: ChildLifecycle
  readonly #adopted: (next: Generation, now: Instant) => void

  constructor(state: IkeState, lifecycle: ChildLifecycle, adopted: (next: Generation, now: Instant) => void) {
    this.#state = state
    this.#lifecycle = lifecycle
    this.#adopted = adopted
  }

  /** The payloads of the answer. Deletes of Child SAs are carried out; that of the IKE SA by `ikeDeleted`, after the answer. */
  respond(request: readonly IkePayload[], now: Instant): IkePayload[] {
    const spis = payloadsOf(request, 'delete')
      .filter(({ protocol }) => protocol === ProtocolId.Esp)
      .flatMap((payload) => this.#deleteChildren(payload, now))
    return spis.length === 0 ? [] : [{ kind: 'delete', protocol: ProtocolId.Esp, spis }]
  }

  /** Our halves of the Child SAs that the peer deletes, except those whose delete of ours has crossed it. */
  #deleteChildren({ spis }: DeletePayload, now: Instant): Uint8Array[] {
    const ours: Uint8Array[] = []
    for (const bytes of spis) {
      const spi = espSpiOf(bytes)
      if (spi === undefined) continue
      const child = this.#state.children.outbound(spi)
      if (child === undefined) {
        const early = this.#state.earlyDeletes
        if (early !== undefined && early.size < EARLY_DELETES) early.add(spi)
        continue
      }
      if (child.standing !== 'closing') ours.push(espSpiBytes(child.inboundSpi))
      if (child.standing === 'live') this.#recordEarlyEnd(child, now)
      const crossing = this.#state.childRekeying
      if (crossing?.child === child && crossing.theirs !== undefined) child.successor = crossing.theirs.child
      this.#lifecycle.remove(child, 'deleted', now)
    }
    return ours
  }

  /** A peer that lets go of what nobody replaced has most likely a shorter lifetime for it than we have. */
  #recordEarlyEnd({ bornAt }: ChildSa, now: Instant): void {
    const renewAfter = this.#state.childPolicy?.lifetime.softTime
    const held = elapsed(bornAt ?? now, now)
    if (renewAfter === undefined || held < SHORTEST_LIFETIME || held >= renewAfter) return
    this.#state.fail(explainLifetime('Child SA', held, renewAfter, this.#state))
  }

  /** The peer has deleted this generation, and has our answer. */
  ikeDeleted(generation: Generation, now: Instant): void {
    const state = this.#state
    const theirs = state.ikeRekeying?.theirs
    if (generation === theirs?.generation) {
      theirs.deleted = true
      this.#linger(generation, now)
      return
    }
    if (generation !== state.current) {
      this.#linger(generation, now)
      return
    }
    if (theirs === undefined || theirs.deleted) {
      state.end(state.state === 'closing' ? state.closingWhy : 'gone')
      return
    }
    // The peer has not noticed that our rekey crossed its own: ours is void, its own stands.
    state.ikeRekeying = undefined
    this.#adopted(theirs.generation, now)
    this.#linger(generation, now)
  }

  /** Nothing is asked in it any more; what was under way is asked again in the current one. */
  #linger(generation: Generation, now: Instant): void {
    this.#state.retire(generation)
    this.#state.forgetLater(generation, after(now, LINGER))
  }
}

export const deletesIke = (request: readonly IkePayload[]): boolean =>
  payloadsOf(request, 'delete').some(({ protocol }) => protocol === ProtocolId.Ike)
