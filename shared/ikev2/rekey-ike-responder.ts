import type { Instant } from '#shared/time/instant.ts'
import { NotifyType, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { CreateChildTask } from './create-child-task.ts'
import { DeleteChildTask } from './delete-child-task.ts'
import { explainMismatch } from './explain.ts'
import { Generation } from './generation.ts'
import { rekeyedSecrets } from './generation-secrets.ts'
import type { IkeState } from './ike-state.ts'
import { agree, keyPayload, makeShare } from './key-share.ts'
import { invalidKe, notify } from './notify.ts'
import { NONCE_LENGTH } from './numbers.ts'
import { payloadOf } from './payload-of.ts'
import { idOf, selectProposal } from './select-proposal.ts'
import { ikeSpiBytes, ikeSpiOf } from './spi.ts'

/** Answers the peer's rekey of the IKE SA (RFC 7296 §1.3.2, §2.25.2). */
export class RekeyIkeResponder {
  readonly #state: IkeState
  readonly #adopted: (next: Generation, now: Instant) => void

  constructor(state: IkeState, adopted: (next: Generation, now: Instant) => void) {
    this.#state = state
    this.#adopted = adopted
  }

  /** The payloads of the answer, which goes out in the old generation. */
  respond(request: readonly IkePayload[], old: Generation, now: Instant): IkePayload[] {
    const state = this.#state
    const { context } = state
    const sa = payloadOf(request, 'sa')
    const nonce = payloadOf(request, 'nonce')
    const ke = payloadOf(request, 'ke')
    if (sa === undefined || nonce === undefined || ke === undefined) return [notify(NotifyType.InvalidSyntax)]
    const isBusy = old.active instanceof CreateChildTask || old.active instanceof DeleteChildTask
    const isCrossed = state.ikeRekeying?.theirs !== undefined
    if (isBusy || isCrossed || old.standing !== 'current' || state.state !== 'established' || !state.rekeys.take(now))
      return [notify(NotifyType.TemporaryFailure)]

    const selection = selectProposal(sa.proposals, context.proposals, ProtocolId.Ike, { guess: ke.group })
    if ('mismatch' in selection) {
      state.fail(explainMismatch('rekey', selection.mismatch, state))
      return [notify(NotifyType.NoProposalChosen)]
    }
    const { chosen } = selection
    const group = idOf(chosen, TransformType.KeyExchange)
    if (group !== ke.group) return [invalidKe(group)]
    const remoteSpi = ikeSpiOf(chosen.spi)
    if (remoteSpi === undefined) return [notify(NotifyType.InvalidSyntax)]
    const share = makeShare(context.suite, group)
    const shared = agree(context.suite, share, ke)
    if (shared === undefined) return [notify(NotifyType.InvalidSyntax)]

    const localSpi = context.newSpi()
    const nonces = { initiator: nonce.nonce.slice(), responder: context.suite.random(NONCE_LENGTH) }
    const spis = { initiator: remoteSpi, responder: localSpi }
    const next = new Generation(context, localSpi, remoteSpi, false, old.requests.roundTrip)
    next.secrets = rekeyedSecrets(context.suite, old.secrets!, chosen, { shared, nonces, spis, isInitiator: false })
    state.generations.push(next)
    if (state.ikeRekeying !== undefined) {
      next.standing = 'crossing'
      state.ikeRekeying.theirs = { generation: next, nonces: [nonces.initiator, nonces.responder], deleted: false }
      state.emit({ kind: 'rekeyed' })
    } else {
      this.#adopted(next, now)
      state.supersede(old, now)
    }
    return [
      { kind: 'sa', proposals: [{ ...chosen, spi: ikeSpiBytes(localSpi) }] },
      { kind: 'nonce', nonce: nonces.responder },
      keyPayload(share),
    ]
  }
}
