import type { Instant } from '#shared/time/instant.ts'
import { ExchangeType, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, NotifyPayload } from '#shared/wire/ike-payload/payload.ts'
import type { ChildLifecycle } from './child-lifecycle.ts'
import { type ChildOffer, dropOffer, offerChild, offerPayloads, takeAnswer } from './child-negotiation.ts'
import type { ChildSa } from './child-sa.ts'
import { DeleteChildTask, RefuseChildTask } from './delete-child-task.ts'
import { enqueue, enqueueFirst } from './exchange.ts'
import { explainRefusal, explainUnusable } from './explain.ts'
import type { Generation } from './generation.ts'
import type { ChildRekeying, IkeState } from './ike-state.ts'
import { groupsOf } from './key-share.ts'
import { isRedundant } from './nonce-order.ts'
import { findError, notifyChild, wantedGroup } from './notify.ts'
import { NONCE_LENGTH } from './numbers.ts'
import { payloadOf } from './payload-of.ts'
import { espSpiBytes, espSpiOf, espSpiText } from './spi.ts'
import type { Task } from './task.ts'
import { isNarrowed, pairOf, type SelectorPair, singlePair } from './traffic-selectors.ts'

/** Whether a Child SA for that traffic, as far as the peer grants it, is there and lasts. */
export const isServed = (state: IkeState, wanted: SelectorPair): boolean =>
  state.children.lasting.some(({ facts }) => isNarrowed(pairOf(facts), wanted))

/** What the making of a Child SA asks of the machine around it. */
export interface ChildTaskActions {
  /** The same again, when the peer has had time. */
  retryChild(replaces: ChildSa | undefined, selectors: SelectorPair, now: Instant): void
  childMade(): void
  /** None is left that lasts. */
  childrenLost(now: Instant): void
  /** The peer makes no more of them in this IKE SA. */
  noMore(now: Instant): void
}

export interface ChildWish {
  /** The one to be replaced; undefined: a new one. */
  readonly replaces: ChildSa | undefined
  readonly selectors: SelectorPair
  /** The group that the peer has asked for. */
  readonly group?: number
}

/**
 * Makes a Child SA, or replaces one (RFC 7296 §1.3.1, §1.3.3). Where the peer's own rekey of the same one crosses ours, the result with the
 * lowest nonce is deleted by who began it, and the other end deletes the old one (§2.8.1, §2.25.1).
 */
export class CreateChildTask implements Task {
  readonly exchange = ExchangeType.CreateChildSa
  readonly #state: IkeState
  readonly #lifecycle: ChildLifecycle
  readonly #actions: ChildTaskActions
  readonly #wish: ChildWish
  #asked: { readonly offer: ChildOffer; readonly nonce: Uint8Array } | undefined

  constructor(state: IkeState, lifecycle: ChildLifecycle, actions: ChildTaskActions, wish: ChildWish) {
    this.#state = state
    this.#lifecycle = lifecycle
    this.#actions = actions
    this.#wish = wish
  }

  /** Whether it makes one that replaces none. */
  get isNew(): boolean {
    return this.#wish.replaces === undefined
  }

  get name(): string {
    const { replaces } = this.#wish
    return replaces === undefined ? 'create child' : `rekey child ${espSpiText(replaces.inboundSpi)}`
  }

  begin(): IkePayload[] | undefined {
    const { context, state, childPolicy: policy, children } = this.#state
    const { replaces, selectors } = this.#wish
    if (policy === undefined || state !== 'established') return undefined
    if (replaces !== undefined && (!children.has(replaces) || replaces.standing !== 'live')) return undefined
    if (replaces === undefined && isServed(this.#state, selectors)) return undefined
    const group = this.#wish.group ?? groupsOf(policy.proposals)[0]
    const offer = offerChild(this.#state, policy.proposals, selectors, group === 0 ? undefined : group)
    const nonce = context.suite.random(NONCE_LENGTH)
    this.#asked = { offer, nonce }
    this.#state.earlyDeletes = new Set()
    if (replaces === undefined) return offerPayloads(offer, nonce)
    replaces.standing = 'rekeying'
    this.#state.childRekeying = { child: replaces }
    return [notifyChild(NotifyType.RekeySa, espSpiBytes(replaces.inboundSpi)), ...offerPayloads(offer, nonce)]
  }

  answered(answer: readonly IkePayload[], generation: Generation, now: Instant): void {
    const { offer, nonce } = this.#asked!
    const rekeying = this.#state.childRekeying
    const early = this.#state.earlyDeletes ?? new Set()
    this.#settled()
    const error = findError(answer)
    const theirNonce = payloadOf(answer, 'nonce')
    if (error !== undefined || theirNonce === undefined) {
      dropOffer(this.#state, offer)
      if (rekeying?.theirs !== undefined) this.#yieldTo(rekeying, rekeying.theirs.child, now)
      else if (error !== undefined) this.#refused(error, now)
      else this.#unusable('its answer is incomplete', now)
      return
    }
    const made = takeAnswer(this.#state, generation, offer, answer, {
      initiator: nonce,
      responder: theirNonce.nonce,
    })
    if (typeof made === 'string') {
      enqueue(this.#state, new RefuseChildTask(this.#state, offer.inboundSpi), now)
      if (rekeying?.theirs !== undefined) this.#yieldTo(rekeying, rekeying.theirs.child, now)
      this.#unusable(made, now)
      return
    }
    const { child, keys } = made
    this.#actions.childMade()
    if (early.has(child.facts.outboundSpi)) {
      dropOffer(this.#state, offer, made)
      this.#bornDead(rekeying, now)
      return
    }
    const old = rekeying?.child
    this.#lifecycle.install(child, keys, old, now)
    if (rekeying === undefined || old === undefined) this.#lifecycle.use(child)
    else this.#succeed(child, old, rekeying, [nonce, theirNonce.nonce], now)
  }

  abandoned(): boolean {
    if (this.#asked !== undefined) dropOffer(this.#state, this.#asked.offer)
    this.#settled()
    return true
  }

  /** Nothing is under way any more. */
  #settled(): void {
    const { replaces } = this.#wish
    this.#asked = undefined
    this.#state.childRekeying = undefined
    this.#state.earlyDeletes = undefined
    if (replaces?.standing === 'rekeying') replaces.standing = 'live'
  }

  /** Ours is made. Is it the one that stays? */
  #succeed(
    child: ChildSa,
    old: ChildSa,
    { theirs }: ChildRekeying,
    nonces: readonly [Uint8Array, Uint8Array],
    now: Instant,
  ): void {
    const theirsLives = theirs !== undefined && this.#state.children.has(theirs.child)
    if (theirsLives && isRedundant(nonces, theirs.nonces)) {
      this.#delete(child, now)
      this.#yieldTo({ child: old }, theirs.child, now)
      return
    }
    this.#lifecycle.use(child)
    if (theirsLives) this.#lifecycle.replaced(theirs.child, child, now)
    old.successor = child
    if (this.#state.children.has(old)) this.#delete(old, now)
  }

  /** The peer's rekey stands; it deletes the old one. */
  #yieldTo({ child: old }: ChildRekeying, theirs: ChildSa, now: Instant): void {
    if (!this.#state.children.has(theirs)) return
    if (this.#state.children.has(old)) this.#lifecycle.replaced(old, theirs, now)
    else this.#lifecycle.use(theirs)
  }

  /** The peer deleted it before its answer reached us. What it was to replace goes too, as it would have, unless the peer's own rekey stands. */
  #bornDead(rekeying: ChildRekeying | undefined, now: Instant): void {
    if (rekeying === undefined) {
      if (this.#state.children.lasting.length === 0) this.#actions.childrenLost(now)
      return
    }
    if (rekeying.theirs !== undefined) this.#yieldTo(rekeying, rekeying.theirs.child, now)
    else if (this.#state.children.has(rekeying.child)) this.#delete(rekeying.child, now)
  }

  #delete(child: ChildSa, now: Instant): void {
    enqueue(this.#state, new DeleteChildTask(this.#state, this.#lifecycle, child), now)
  }

  #next(wish: ChildWish): void {
    enqueueFirst(this.#state, new CreateChildTask(this.#state, this.#lifecycle, this.#actions, wish))
  }

  #refused(error: NotifyPayload, now: Instant): void {
    const { replaces, selectors, group } = this.#wish
    const wanted = error.type === NotifyType.InvalidKePayload ? wantedGroup(error) : undefined
    if (wanted !== undefined && group === undefined && groupsOf(this.#state.childPolicy?.proposals ?? []).includes(wanted)) {
      this.#next({ ...this.#wish, group: wanted })
      return
    }
    const single = error.type === NotifyType.SinglePairRequired ? singlePair(selectors) : undefined
    if (single !== undefined && selectors.local.length + selectors.remote.length > 2) {
      this.#next({ ...this.#wish, selectors: single })
      return
    }
    if (error.type === NotifyType.TemporaryFailure) {
      this.#actions.retryChild(replaces, selectors, now)
      return
    }
    if (error.type === NotifyType.ChildSaNotFound && replaces !== undefined) {
      this.#replaceLost(replaces, selectors, error.spi, now)
      return
    }
    this.#state.fail(explainRefusal(replaces === undefined ? 'child' : 'rekey', error.type, this.#state))
    if (error.type === NotifyType.NoAdditionalSas) this.#actions.noMore(now)
    else this.#actions.retryChild(replaces, selectors, now)
  }

  /** The peer does not know the one that we wanted to replace: without a word it goes, and another is made from scratch (§2.25). */
  #replaceLost(old: ChildSa, selectors: SelectorPair, spi: Uint8Array, now: Instant): void {
    const known = this.#state.children.has(old)
    if (!known || (spi.length > 0 && espSpiOf(spi) !== old.inboundSpi)) return
    this.#next({ replaces: undefined, selectors })
    this.#lifecycle.remove(old, 'deleted', now)
  }

  #unusable(why: string, now: Instant): void {
    const { replaces, selectors } = this.#wish
    this.#state.fail(explainUnusable(replaces === undefined ? 'child' : 'rekey', why, this.#state))
    this.#actions.retryChild(replaces, selectors, now)
  }
}
