import { after, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { type ChildActions, ChildLifecycle } from './child-lifecycle.ts'
import type { ChildSa } from './child-sa.ts'
import { CreateChildResponder } from './create-child-responder.ts'
import { type ChildTaskActions, CreateChildTask, isServed } from './create-child-task.ts'
import { DeleteChildTask } from './delete-child-task.ts'
import { enqueue } from './exchange.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import { RetryLater } from './retry-later.ts'
import { espSpiText } from './spi.ts'
import { pairOf, type SelectorPair } from './traffic-selectors.ts'

/** A Child SA that was lost is made again after so long, and by chance up to twice that. */
const AGAIN = seconds(0.5)

/** The Child SAs of one association: what is wished for them, and what becomes of it. */
export class Children implements ChildActions, ChildTaskActions {
  readonly lifecycle: ChildLifecycle
  readonly #state: IkeState
  readonly #responder: CreateChildResponder
  readonly #retry: RetryLater
  /** The association is of no use any more: it has to be begun anew. */
  readonly #giveUp: (now: Instant) => void

  constructor(state: IkeState, giveUp: (now: Instant) => void) {
    this.#state = state
    this.#giveUp = giveUp
    this.#retry = new RetryLater(state)
    this.lifecycle = new ChildLifecycle(state, this)
    this.#responder = new CreateChildResponder(state, this.lifecycle)
  }

  /** One as policy has it, unless there is one already. */
  create(now: Instant, selectors: SelectorPair | undefined = this.#wanted): void {
    if (selectors === undefined || this.#state.state !== 'established' || this.#hasLike(selectors)) return
    enqueue(this.#state, this.#task(undefined, selectors), now)
  }

  rekeyChild(inboundSpi: number, now: Instant): void {
    const child = this.#state.children.inbound(inboundSpi)
    if (child?.standing !== 'live') return
    enqueue(this.#state, this.#task(child, pairOf(child.facts)), now)
  }

  /**
   * Policy allows other traffic than was agreed on: the one Child SA is renewed under what policy says now. Beside several, which the peer
   * has divided as it likes, another is made.
   */
  renegotiate(now: Instant): void {
    const wanted = this.#wanted
    const [child, ...others] = this.#state.children.lasting
    if (wanted === undefined || this.#state.state !== 'established') return
    if (child?.standing === 'live' && others.length === 0) enqueue(this.#state, this.#task(child, wanted), now)
    else this.create(now)
  }

  closeChild(inboundSpi: number, now: Instant, why: 'deleted' | 'expired'): void {
    const child = this.#state.children.inbound(inboundSpi)
    if (child === undefined || child.standing === 'closing' || this.#state.state !== 'established') return
    enqueue(this.#state, new DeleteChildTask(this.#state, this.lifecycle, child, why), now)
  }

  /** An authentic packet came on it. */
  heard(inboundSpi: number): void {
    const child = this.#state.children.inbound(inboundSpi)
    if (child !== undefined) this.lifecycle.heard(child)
  }

  /** Who began the association wants one at all times. */
  childrenLost(now: Instant): void {
    if (this.#state.initiation?.child === undefined || this.#state.state !== 'established') return
    const wait = milliseconds(AGAIN * (1 + this.#state.context.dice()))
    this.#state.timers.set('create child again', after(now, wait), (at) => this.create(at))
  }

  childFailed(now: Instant): void {
    const selectors = this.#wanted
    if (this.#state.initiation?.child !== undefined && selectors !== undefined) this.retryChild(undefined, selectors, now)
  }

  childMade(): void {
    this.#retry.succeeded()
  }

  retryChild(replaces: ChildSa | undefined, selectors: SelectorPair, now: Instant): void {
    const name = replaces === undefined ? 'create child again' : `rekey child ${espSpiText(replaces.inboundSpi)} again`
    const goesOn = this.#retry.schedule(name, now, (at) => {
      if (replaces === undefined) this.create(at, selectors)
      else this.rekeyChild(replaces.inboundSpi, at)
    })
    if (!goesOn) this.#giveUp(now)
  }

  /** The peer makes no Child SA in this IKE SA any more (RFC 7296 §1.3): only another IKE SA helps. One that is there lives out its time. */
  noMore(now: Instant): void {
    if (this.#state.children.lasting.length === 0) this.#giveUp(now)
  }

  respond(request: readonly IkePayload[], generation: Generation, now: Instant): IkePayload[] {
    return this.#responder.respond(request, generation, now)
  }

  get #wanted(): SelectorPair | undefined {
    const policy = this.#state.childPolicy
    return policy === undefined ? undefined : pairOf(policy)
  }

  #task(replaces: ChildSa | undefined, selectors: SelectorPair): CreateChildTask {
    return new CreateChildTask(this.#state, this.lifecycle, this, { replaces, selectors })
  }

  /** Whether one for the same traffic exists, as far as the peer would grant it, or is being made. */
  #hasLike(wanted: SelectorPair): boolean {
    const { current } = this.#state
    const waits = [current.active, ...current.queue].some((task) => task instanceof CreateChildTask && task.isNew)
    return waits || isServed(this.#state, wanted)
  }
}
