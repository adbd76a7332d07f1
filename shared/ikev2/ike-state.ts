import { after, type Duration, type Instant, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { IkeId } from '#shared/wire/ike-payload/payload.ts'
import type { ChildSa } from './child-sa.ts'
import { ChildTable } from './child-sa.ts'
import type { Generation } from './generation.ts'
import type { IkeContext, Initiation } from './ike-context.ts'
import type { IkeOutput } from './ike-output.ts'
import type { IkeSaState } from './ike-sa.ts'
import type { Nonces } from './key-material.ts'
import { NamedTimers } from './named-timers.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import type { NoncePair } from './nonce-order.ts'
import { noAbilities, type PeerAbilities } from './peer-abilities.ts'
import type { AuthenticatedPeer, ChildPolicy, PeerGrant } from './peer-policy.ts'
import { RekeyAllowance } from './rekey-allowance.ts'

/** Soft lifetimes are cut by up to this share, by chance, so that the two ends and the members of a fleet do not rekey at once. */
const SOFT_JITTER = 0.1
/** A refused peer's repeated request is answered for so long. */
const REFUSED_TIME = seconds(5)
/** A replaced IKE SA waits so long for the delete that the peer owes it; longer than any black-out that the association survives. */
const SUPERSEDED_TIME = minutes(5)
/** The same for one that came of two crossing rekeys and was never used. */
const REDUNDANT_TIME = seconds(30)

/** Our rekey of the IKE SA while it is under way, and the peer's that crossed it. */
export interface IkeRekeying {
  theirs?: { readonly generation: Generation; readonly nonces: NoncePair; deleted: boolean }
}

/** Our rekey of a Child SA while it is under way, and the peer's that crossed it. */
export interface ChildRekeying {
  readonly child: ChildSa
  theirs?: { readonly child: ChildSa; readonly nonces: NoncePair }
}

/** What the first exchange leaves for IKE_AUTH; forgotten after it. */
export interface FirstExchange {
  /** Whole messages, as they were sent. */
  readonly initiatorMessage: Uint8Array
  readonly responderMessage: Uint8Array
  readonly nonces: Nonces
  /** Whom a resumed session is with, as its ticket says. */
  readonly resumed: AuthenticatedPeer | undefined
  /** Both ends speak of postquantum pre-shared keys (RFC 8784). */
  readonly ppk: boolean
}

export type ClosedWhy = Extract<IkeOutput, { kind: 'closed' }>['why']

/** What the parts of one association share. The parts change it; it decides nothing. */
export class IkeState {
  readonly context: IkeContext
  /** Set where we began the association. */
  readonly initiation: Initiation | undefined
  readonly children = new ChildTable()
  readonly timers = new NamedTimers()
  readonly abilities: PeerAbilities = noAbilities()
  state: IkeSaState
  /** The current one first. Never empty while the association lives. */
  generations: Generation[] = []
  first: FirstExchange | undefined
  peer: AuthenticatedPeer | undefined
  grant: PeerGrant | undefined
  /** Who the peer says that it is, before it has proven it: for the record of failures. */
  claimedId: IkeId | undefined
  /** Where the peer was when it began, or where we began it: for the record of failures. */
  endpoint: Endpoint | undefined
  /** When anything authentic came last. */
  heardAt: Instant
  /** Our first message was refused by an answer that nobody need believe: so it was not silence. */
  wasRefused = false
  /** A message is being executed. */
  isExecuting = false
  /** Where the peer says that it has moved to, until it has shown that it receives there (MOBIKE). */
  candidate: Endpoint | undefined
  ikeRekeying: IkeRekeying | undefined
  childRekeying: ChildRekeying | undefined
  /** While a CREATE_CHILD_SA of ours is under way: SPIs of the peer whose delete came before the answer that would have told them. */
  earlyDeletes: Set<number> | undefined
  /** What is said once a closing association has ended. */
  closingWhy: ClosedWhy = 'local'
  readonly rekeys: RekeyAllowance
  readonly #outputs: IkeOutput[] = []

  constructor(context: IkeContext, initiation: Initiation | undefined, endpoint: Endpoint | undefined, now: Instant) {
    this.context = context
    this.rekeys = new RekeyAllowance(context.settings.rekeySpacing)
    this.initiation = initiation
    this.endpoint = endpoint
    this.state = initiation === undefined ? 'half-open' : 'initiating'
    this.heardAt = now
  }

  get current(): Generation {
    return this.generations[0]!
  }

  /** What our Child SAs may look like; undefined before the peer is known, or in a childless association. */
  get childPolicy(): ChildPolicy | undefined {
    return this.initiation === undefined ? this.grant?.child : this.initiation.child
  }

  emit(output: IkeOutput): void {
    this.#outputs.push(output)
  }

  fail(failure: NegotiationFailure): void {
    this.emit({ kind: 'failed', failure })
  }

  poll(): IkeOutput | undefined {
    return this.#outputs.shift()
  }

  /** A soft lifetime with its jitter. */
  softened(span: Duration): Duration {
    return milliseconds(span * (1 - SOFT_JITTER * this.context.dice()))
  }

  /** `next` takes the place of the current generation, whose waiting tasks go with it. */
  adopt(next: Generation): void {
    const old = this.current
    next.standing = 'current'
    next.queue.push(...old.queue.splice(0))
    this.generations = [next, ...this.generations.filter((one) => one !== next)]
    this.emit({ kind: 'rekeyed' })
  }

  /**
   * The peer has to delete it; should it never do so, it goes in the end. `redundant`: it was never current, and the peer, if our answer
   * never reached it, cannot delete what it does not know.
   */
  supersede(generation: Generation, now: Instant, redundant = false): void {
    generation.standing = 'superseded'
    this.forgetLater(generation, after(now, redundant ? REDUNDANT_TIME : SUPERSEDED_TIME))
  }

  forgetLater(generation: Generation, at: Instant): void {
    this.timers.set(`forget IKE SA ${generation.localSpi.toString(16)}`, at, () => this.forget(generation))
  }

  /** Nothing is asked in it any more; what was under way, or waited, is begun again in the current one where that has a meaning. */
  retire(generation: Generation): void {
    const tasks = [...(generation.active === undefined ? [] : [generation.active]), ...generation.queue]
    generation.standing = 'closing'
    generation.active = undefined
    generation.queue = []
    generation.requests.giveUp()
    const again = tasks.filter((task) => task.abandoned())
    if (generation !== this.current) this.current.queue.push(...again)
  }

  /** The generation is gone. */
  forget(generation: Generation): void {
    this.timers.cancel(`forget IKE SA ${generation.localSpi.toString(16)}`)
    this.retire(generation)
    this.generations = this.generations.filter((one) => one !== generation)
    generation.wipe()
    this.emit({ kind: 'rekeyed' })
  }

  /** The association ends in a moment: until then a repeated request gets its answer again. */
  endSoon(why: ClosedWhy, now: Instant): void {
    this.state = 'closing'
    this.closingWhy = why
    this.timers.clear()
    this.timers.set('end of a refused peer', after(now, REFUSED_TIME), () => this.end(why))
  }

  /** The association has ended. Nothing moves any more; what was put out is still taken. */
  end(why: ClosedWhy): void {
    if (this.state === 'closed') return
    this.wipe()
    this.emit({ kind: 'closed', why })
  }

  wipe(): void {
    this.state = 'closed'
    this.timers.clear()
    for (const generation of this.generations) {
      generation.wipe()
      for (const task of [generation.active, ...generation.queue]) task?.abandoned()
      generation.queue = []
      generation.active = undefined
    }
    this.generations = []
  }
}
