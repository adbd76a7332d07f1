import type { Instant } from '#shared/time/instant.ts'
import { AuthMethod, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload, IkeId, IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { type AuthActions, keyKind } from './auth-initiator.ts'
import { makeAuth } from './authentication.ts'
import { certPayloads } from './cert-request.ts'
import type { ChildLifecycle } from './child-lifecycle.ts'
import { answerConfiguration } from './configuration.ts'
import { answerChild } from './create-child-responder.ts'
import { explainUnusable } from './explain.ts'
import { explainOwnKey } from './explain-authentication.ts'
import type { Generation } from './generation.ts'
import { sameId } from './identity.ts'
import type { IkeState } from './ike-state.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import { notify } from './notify.ts'
import { payloadOf } from './payload-of.ts'
import type { AuthenticatedPeer, PeerGrant } from './peer-policy.ts'
import { acceptPpk, explainPpk, type PpkChoice } from './ppk-acceptance.ts'
import { resumptionMic } from './signed-octets.ts'
import { issueTicket } from './ticket-issue.ts'
import { admitPeer, octetsOf, verifyPeer } from './verify-peer.ts'

/** A peer that is in. */
interface Admitted {
  readonly peer: AuthenticatedPeer
  readonly grant: PeerGrant
}

/**
 * The responder's half of IKE_AUTH (RFC 7296 §1.2). Whatever is wrong with the peer, it hears AUTHENTICATION_FAILED and no more, and
 * nothing is looked up for it or given to it before its proof is verified.
 */
export class AuthResponder {
  readonly #state: IkeState
  readonly #lifecycle: ChildLifecycle
  readonly #actions: AuthActions

  constructor(state: IkeState, lifecycle: ChildLifecycle, actions: AuthActions) {
    this.#state = state
    this.#lifecycle = lifecycle
    this.#actions = actions
  }

  /** The payloads of the answer, and whether the peer is in. */
  respond(request: readonly IkePayload[], generation: Generation, now: Instant): { answer: IkePayload[]; admitted: boolean } {
    const idI = payloadOf(request, 'id-i')
    const auth = payloadOf(request, 'auth')
    if (idI === undefined) return this.#refused(explainUnusable('auth', 'it does not say who it is', this.#state))
    if (auth === undefined) {
      this.#state.claimedId = { type: idI.type, data: idI.data.slice() }
      return this.#refused(explainUnusable('auth', 'it wants EAP, which is not spoken here', this.#state))
    }
    const ppk = acceptPpk(this.#state, idI, auth, request, generation.secrets!)
    const admitted = ppk === undefined ? { failure: explainPpk(this.#state) } : this.#admit(idI, ppk.auth, request, generation)
    if ('failure' in admitted) return this.#refused(admitted.failure)
    const own = this.#ownId(payloadOf(request, 'id-r'))
    const proof = this.#proof(own, admitted.peer, generation)
    if (proof === undefined) return this.#refused(explainOwnKey(keyKind(this.#state.context.credential), this.#state))
    this.#actions.established(admitted.peer, admitted.grant, request, now)
    const identity: IkePayload = { kind: 'id-r', type: own.type, data: own.data }
    const answer = [identity, ...proof, ...ppkAnswer(ppk), ...this.#extras(request, admitted, generation, now)]
    this.#state.first = undefined
    return { answer, admitted: true }
  }

  #refused(failure: NegotiationFailure): { answer: IkePayload[]; admitted: false } {
    this.#state.fail(failure)
    return { answer: [notify(NotifyType.AuthenticationFailed)], admitted: false }
  }

  #admit(
    idI: IkeId,
    auth: AuthPayload,
    request: readonly IkePayload[],
    generation: Generation,
  ): Admitted | { failure: NegotiationFailure } {
    this.#state.claimedId = { type: idI.type, data: idI.data.slice() }
    const secrets = generation.secrets!
    const verdict = verifyPeer(this.#state, 'initiator', idI, auth, request, secrets)
    if ('failure' in verdict) return verdict
    return admitPeer(this.#state, verdict.peer, secrets)
  }

  /** The identity that the peer asks for, if it is one of ours; else the usual one, which the peer judges. */
  #ownId(asked: IkeId | undefined): IkeId {
    const { localIds } = this.#state.context
    return (asked === undefined ? undefined : localIds.find((id) => sameId(id, asked))) ?? localIds[0]
  }

  #proof(id: IkeId, peer: AuthenticatedPeer, generation: Generation): IkePayload[] | undefined {
    const { context, first, abilities } = this.#state
    const { prf, keys } = generation.secrets!
    const octets = octetsOf('responder', id, first!, prf, keys)
    if (first!.resumed !== undefined)
      return [{ kind: 'auth', method: AuthMethod.SharedKey, data: resumptionMic(prf, keys.pr, octets) }]
    const secret = peer.proof.kind === 'psk' ? context.owner.preSharedKey(peer.id) : undefined
    const credential = secret === undefined ? context.credential : ({ kind: 'psk', secret } as const)
    const auth = makeAuth(credential, octets, abilities.hashes, prf, context.suite)
    if (auth === undefined) return undefined
    return [...(credential.kind === 'psk' ? [] : certPayloads(credential.chain)), auth]
  }

  /** Configuration and the first Child SA. What of them fails leaves the IKE SA as it is (RFC 7296 §1.2). */
  #extras(request: readonly IkePayload[], { peer, grant }: Admitted, generation: Generation, now: Instant): IkePayload[] {
    const asked = payloadOf(request, 'cp')
    const reply = asked === undefined ? undefined : answerConfiguration(asked, grant)
    const said: IkePayload[] = [
      notify(NotifyType.MobikeSupported),
      ...issueTicket(this.#state, request, peer, generation.secrets!),
    ]
    if (payloadOf(request, 'sa') === undefined) return reply === undefined || reply === 'refused' ? said : [reply, ...said]
    if (reply === 'refused') return [...said, notify(NotifyType.InternalAddressFailure)]
    const child = answerChild(this.#state, generation, request, { nonces: this.#state.first!.nonces, inAuth: true })
    if ('error' in child) return [...(reply === undefined ? [] : [reply]), ...said, child.error]
    this.#lifecycle.install(child.made.child, child.made.keys, undefined, now)
    this.#lifecycle.use(child.made.child)
    return [...(reply === undefined ? [] : [reply]), ...child.payloads, ...said]
  }
}

/** That the PPK is in use is told by an empty notification (RFC 8784 §3). */
const ppkAnswer = (choice: PpkChoice | undefined): IkePayload[] =>
  choice?.isUsed === true ? [notify(NotifyType.PpkIdentity)] : []
