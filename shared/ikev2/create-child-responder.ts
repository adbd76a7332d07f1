import type { Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import { NotifyType, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, NotifyPayload } from '#shared/wire/ike-payload/payload.ts'
import type { ChildLifecycle } from './child-lifecycle.ts'
import { answerParts, type MadeChild, makeChild } from './child-negotiation.ts'
import type { ChildSa } from './child-sa.ts'
import { explainMismatch, explainSelectors } from './explain.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import type { Nonces } from './key-material.ts'
import { agree, keyPayload, makeShare } from './key-share.ts'
import { findNotify, invalidKe, notify, notifyChild } from './notify.ts'
import { NONCE_LENGTH } from './numbers.ts'
import { payloadOf } from './payload-of.ts'
import { RekeyIkeTask } from './rekey-ike-task.ts'
import { idOf, selectProposal } from './select-proposal.ts'
import { espSpiBytes, espSpiOf } from './spi.ts'
import { narrowPair, pairOf } from './traffic-selectors.ts'

/** The answer to a request for a Child SA, and what it made. */
export type ChildAnswer = { readonly payloads: IkePayload[]; readonly made: MadeChild } | { readonly error: NotifyPayload }

export interface ChildRequestOptions {
  /** In IKE_AUTH: no key exchange of its own, nonces of the first exchange, and no nonce in the answer. */
  readonly nonces: Nonces
  readonly inAuth: boolean
}

/** Chooses, narrows and makes the keys. Failures are recorded, the answer tells the notification alone. */
export function answerChild(
  state: IkeState,
  generation: Generation,
  request: readonly IkePayload[],
  { nonces, inAuth }: ChildRequestOptions,
): ChildAnswer {
  const policy = state.childPolicy
  const parts = answerParts(request)
  if (policy === undefined || parts === undefined) return { error: notify(NotifyType.InvalidSyntax) }
  const stage = inAuth ? 'auth' : 'child'
  const ke = inAuth ? undefined : payloadOf(request, 'ke')
  const selection = selectProposal(parts.sa.proposals, policy.proposals, ProtocolId.Esp, {
    withoutKeyExchange: inAuth,
    ...(ke === undefined ? {} : { guess: ke.group }),
  })
  if ('mismatch' in selection) {
    state.fail(explainMismatch(stage, selection.mismatch, state))
    return { error: notify(NotifyType.NoProposalChosen) }
  }
  const { chosen } = selection
  const outboundSpi = espSpiOf(chosen.spi)
  if (outboundSpi === undefined) return { error: notify(NotifyType.InvalidSyntax) }

  const group = inAuth ? 0 : idOf(chosen, TransformType.KeyExchange)
  if (group !== 0 && ke?.group !== group) return { error: invalidKe(group) }
  const offered = { local: parts.tsR.selectors, remote: parts.tsI.selectors }
  const allowed = pairOf(policy)
  const selectors = narrowPair(offered, allowed)
  if (selectors === undefined) {
    state.fail(explainSelectors(stage, offered, allowed, state))
    return { error: notify(NotifyType.TsUnacceptable) }
  }
  const share = group === 0 ? undefined : makeShare(state.context.suite, group)
  const shared = share === undefined ? undefined : agree(state.context.suite, share, ke!)
  if (share !== undefined && shared === undefined) return { error: notify(NotifyType.InvalidSyntax) }

  const inboundSpi = state.context.newEspSpi(state.grant?.peerKey)
  const made = makeChild(state, generation, { chosen, inboundSpi, outboundSpi, selectors, nonces, shared, initiator: false })
  const payloads: IkePayload[] = [
    { kind: 'sa', proposals: [{ ...chosen, spi: espSpiBytes(inboundSpi) }] },
    ...(inAuth ? [] : [{ kind: 'nonce', nonce: nonces.responder } as const]),
    ...(share === undefined ? [] : [keyPayload(share)]),
    { kind: 'ts-i', selectors: selectors.remote },
    { kind: 'ts-r', selectors: selectors.local },
  ]
  return { payloads, made }
}

/** What a request for a Child SA may find in the way (RFC 7296 §2.25). */
export class CreateChildResponder {
  readonly #state: IkeState
  readonly #lifecycle: ChildLifecycle
  #creations: TokenBucket | undefined

  constructor(state: IkeState, lifecycle: ChildLifecycle) {
    this.#state = state
    this.#lifecycle = lifecycle
  }

  /** The payloads of the answer. */
  respond(request: readonly IkePayload[], generation: Generation, now: Instant): IkePayload[] {
    const state = this.#state
    const rekey = findNotify(request, NotifyType.RekeySa)
    const nonce = payloadOf(request, 'nonce')
    if (nonce === undefined) return [notify(NotifyType.InvalidSyntax)]
    if (generation.active instanceof RekeyIkeTask || generation.standing !== 'current' || state.state !== 'established')
      return [notify(NotifyType.TemporaryFailure)]
    if (state.childPolicy === undefined) return [notify(NotifyType.NoAdditionalSas)]
    const old = rekey === undefined ? undefined : this.#wanted(rekey)
    if (old !== undefined && 'kind' in old) return [old]
    const { maxChildren } = state.context.settings
    if (old === undefined && state.children.lasting.length >= maxChildren) return [notify(NotifyType.NoAdditionalSas)]
    if (!this.#mayBegin(old, now)) return [notify(NotifyType.TemporaryFailure)]

    const nonces = { initiator: nonce.nonce.slice(), responder: state.context.suite.random(NONCE_LENGTH) }
    const answer = answerChild(state, generation, request, { nonces, inAuth: false })
    if ('error' in answer) return [answer.error]
    this.#install(answer.made, old, nonces, now)
    return answer.payloads
  }

  /** New ones may come as many at once as there may be, then as seldom as rekeys. */
  #mayBegin(old: ChildSa | undefined, now: Instant): boolean {
    if (old !== undefined) return this.#state.rekeys.take(now)
    const { maxChildren, rekeySpacing } = this.#state.context.settings
    if (rekeySpacing === 0) return true
    this.#creations ??= new TokenBucket(1_000 / rekeySpacing, maxChildren)
    return this.#creations.take(now)
  }

  /** The Child SA that is to be replaced, or the answer that says why not. */
  #wanted(rekey: NotifyPayload): ChildSa | NotifyPayload {
    const spi = espSpiOf(rekey.spi)
    const child = spi === undefined || rekey.protocol !== ProtocolId.Esp ? undefined : this.#state.children.outbound(spi)
    if (child === undefined) {
      // It may be the very one whose making waits for an answer that the peer has sent long since.
      const mayCome = this.#state.earlyDeletes !== undefined
      return mayCome ? notify(NotifyType.TemporaryFailure) : notifyChild(NotifyType.ChildSaNotFound, rekey.spi.slice())
    }
    const ours = this.#state.childRekeying
    const isCrossed = ours?.child === child && ours.theirs !== undefined
    return !child.lasts || isCrossed ? notify(NotifyType.TemporaryFailure) : child
  }

  #install(made: MadeChild, old: ChildSa | undefined, nonces: Nonces, now: Instant): void {
    this.#lifecycle.install(made.child, made.keys, old, now)
    if (old === undefined) {
      // The peer can receive on it once our answer is there; nothing older could carry its packets meanwhile.
      this.#lifecycle.use(made.child)
      return
    }
    const ours = this.#state.childRekeying
    if (ours?.child === old) ours.theirs = { child: made.child, nonces: [nonces.initiator, nonces.responder] }
    else this.#lifecycle.replaced(old, made.child, now)
  }
}
