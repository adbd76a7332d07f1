import { wipe } from '#shared/crypto/suite.ts'
import type { Instant } from '#shared/time/instant.ts'
import { ExchangeType, NotifyType, TransformType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, KePayload, NoncePayload, NotifyPayload, Proposal, SaPayload } from '#shared/wire/ike-payload/payload.ts'
import { explainRefusal, explainUnusable } from './explain.ts'
import { Generation } from './generation.ts'
import { rekeyedSecrets } from './generation-secrets.ts'
import type { IkeRekeying, IkeState } from './ike-state.ts'
import { DeleteIkeTask } from './informational-tasks.ts'
import { agree, groupsOf, type KeyShare, keyPayload, makeShare } from './key-share.ts'
import { isRedundant } from './nonce-order.ts'
import { findError, wantedGroup } from './notify.ts'
import { NONCE_LENGTH } from './numbers.ts'
import { payloadOf } from './payload-of.ts'
import { offerOf } from './proposal.ts'
import { checkAnswer, idOf } from './select-proposal.ts'
import { ikeSpiBytes, ikeSpiOf } from './spi.ts'
import type { Task } from './task.ts'

/** What a rekey of the IKE SA asks of the machine around it. */
export interface IkeRekeyActions {
  /** `next` is the association's IKE SA now. */
  adopted(next: Generation, now: Instant): void
  /** At once, with the group that the peer wants; or when it has had time. */
  rekeyAgain(group: number): void
  rekeyLater(now: Instant): void
}

/** What has gone out. */
interface Asked {
  readonly localSpi: bigint
  readonly nonce: Uint8Array
  readonly share: KeyShare
  readonly offered: readonly Proposal[]
}

/**
 * Replaces the IKE SA by one with fresh keys (RFC 7296 §1.3.2, §2.18). Where the peer's own rekey crosses it, the one with the lowest
 * nonce is deleted by who began it, the other one lives on (§2.8.2, §2.25.2).
 */
export class RekeyIkeTask implements Task {
  readonly exchange = ExchangeType.CreateChildSa
  readonly name = 'rekey IKE SA'
  readonly #state: IkeState
  readonly #actions: IkeRekeyActions
  readonly #group: number | undefined
  #asked: Asked | undefined

  constructor(state: IkeState, actions: IkeRekeyActions, group?: number) {
    this.#state = state
    this.#actions = actions
    this.#group = group
  }

  begin(generation: Generation): IkePayload[] | undefined {
    const { context, state } = this.#state
    if (state !== 'established' || generation.standing !== 'current') return undefined
    const group = this.#group ?? idOf(generation.secrets!.chosen, TransformType.KeyExchange)
    const localSpi = context.newSpi()
    const share = makeShare(context.suite, group)
    const nonce = context.suite.random(NONCE_LENGTH)
    const offered = offerOf(context.proposals, ikeSpiBytes(localSpi))
    this.#asked = { localSpi, nonce, share, offered }
    this.#state.ikeRekeying = {}
    return [{ kind: 'sa', proposals: offered }, { kind: 'nonce', nonce }, keyPayload(share)]
  }

  answered(answer: readonly IkePayload[], old: Generation, now: Instant): void {
    const asked = this.#asked!
    const theirs = this.#state.ikeRekeying?.theirs
    this.#state.ikeRekeying = undefined
    this.#asked = undefined
    const sa = payloadOf(answer, 'sa')
    const nonce = payloadOf(answer, 'nonce')
    const ke = payloadOf(answer, 'ke')
    const error = findError(answer)
    const incomplete = sa === undefined || nonce === undefined || ke === undefined
    const why =
      error !== undefined
        ? undefined
        : incomplete
          ? 'its answer is incomplete'
          : this.#made(asked, sa, nonce, ke, old, theirs, now)
    wipe(asked.share.pair.privateKey)
    if (why !== undefined) this.#state.fail(explainUnusable('rekey', why, this.#state))
    if (error === undefined && why === undefined) return
    if (theirs !== undefined && !theirs.deleted) this.#adoptTheirs(theirs.generation, old, now)
    else if (error !== undefined) this.#refused(error, old, now)
    else this.#actions.rekeyLater(now)
  }

  abandoned(): boolean {
    this.#state.ikeRekeying = undefined
    wipe(this.#asked?.share.pair.privateKey)
    this.#asked = undefined
    return false
  }

  /** Ours is made. Undefined; or why the answer is no good, as the end of a sentence. */
  #made(
    asked: Asked,
    sa: SaPayload,
    { nonce: theirNonce }: NoncePayload,
    ke: KePayload,
    old: Generation,
    theirs: IkeRekeying['theirs'],
    now: Instant,
  ): string | undefined {
    const { context } = this.#state
    const verdict = checkAnswer(sa.proposals, asked.offered)
    if ('wrong' in verdict) return verdict.wrong
    const { chosen } = verdict
    const remoteSpi = ikeSpiOf(chosen.spi)
    const isOurGroup = idOf(chosen, TransformType.KeyExchange) === asked.share.group
    const shared = remoteSpi !== undefined && isOurGroup ? agree(context.suite, asked.share, ke) : undefined
    if (remoteSpi === undefined || shared === undefined) return 'its key exchange is not acceptable'

    const next = new Generation(context, asked.localSpi, remoteSpi, true, old.requests.roundTrip)
    next.secrets = rekeyedSecrets(context.suite, old.secrets!, chosen, {
      shared,
      nonces: { initiator: asked.nonce, responder: theirNonce },
      spis: { initiator: asked.localSpi, responder: remoteSpi },
      isInitiator: true,
    })
    this.#state.generations.push(next)
    if (theirs !== undefined && !theirs.deleted && isRedundant([asked.nonce, theirNonce], theirs.nonces)) {
      next.standing = 'closing'
      next.queue.push(new DeleteIkeTask(this.#state))
      this.#adoptTheirs(theirs.generation, old, now)
      return undefined
    }
    this.#actions.adopted(next, now)
    old.standing = 'closing'
    old.queue.push(new DeleteIkeTask(this.#state))
    if (theirs !== undefined && !theirs.deleted) this.#state.supersede(theirs.generation, now, true)
    return undefined
  }

  /** The peer's rekey stands; it deletes the old one. */
  #adoptTheirs(next: Generation, old: Generation, now: Instant): void {
    this.#actions.adopted(next, now)
    this.#state.supersede(old, now)
  }

  #refused(error: NotifyPayload, old: Generation, now: Instant): void {
    if (error.type === NotifyType.TemporaryFailure) {
      this.#actions.rekeyLater(now)
      return
    }
    const group = error.type === NotifyType.InvalidKePayload ? wantedGroup(error) : undefined
    const isNew = this.#group === undefined && group !== idOf(old.secrets!.chosen, TransformType.KeyExchange)
    if (group !== undefined && isNew && groupsOf(this.#state.context.proposals).includes(group)) {
      this.#actions.rekeyAgain(group)
      return
    }
    this.#state.fail(explainRefusal('rekey', error.type, this.#state))
    this.#actions.rekeyLater(now)
  }
}
