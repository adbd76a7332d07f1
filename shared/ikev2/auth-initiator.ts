import type { Instant } from '#shared/time/instant.ts'
import { AuthMethod, ExchangeType, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload, IkeId, IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { type Credential, makeAuth } from './authentication.ts'
import { certPayloads, certRequest } from './cert-request.ts'
import type { ChildLifecycle } from './child-lifecycle.ts'
import { type ChildOffer, dropOffer, offerChild, offerPayloads, takeAnswer } from './child-negotiation.ts'
import { configurationRequest, readConfiguration } from './configuration.ts'
import { RefuseChildTask } from './delete-child-task.ts'
import { enqueue } from './exchange.ts'
import { explainRefusal, explainUnusable } from './explain.ts'
import { explainOwnKey } from './explain-authentication.ts'
import type { Generation } from './generation.ts'
import type { Initiation } from './ike-context.ts'
import type { IkeState } from './ike-state.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import { findError, notify } from './notify.ts'
import { payloadOf } from './payload-of.ts'
import type { AuthenticatedPeer, PeerGrant } from './peer-policy.ts'
import { PpkOffer } from './ppk.ts'
import { redirected } from './redirect.ts'
import { resumptionMic } from './signed-octets.ts'
import type { Task } from './task.ts'
import { takeTicket } from './ticket-issue.ts'
import { pairOf } from './traffic-selectors.ts'
import { admitPeer, octetsOf, verifyPeer } from './verify-peer.ts'

/** What IKE_AUTH asks of the machine around it, at either end. */
export interface AuthActions {
  /** The peer is authenticated and let in. Comes before anything is said of Child SAs. */
  established(peer: AuthenticatedPeer, grant: PeerGrant, said: readonly IkePayload[], now: Instant): void
  /** We do not accept the peer: it is told so, and the association ends. */
  refuse(failure: NegotiationFailure, now: Instant): void
  /** The Child SA that was wished for has not come about; it is tried again later. */
  childFailed(now: Instant): void
}

/** The initiator's half of IKE_AUTH (RFC 7296 §1.2): both ends prove who they are, and the first Child SA is made. */
export class AuthInitiator implements Task {
  readonly exchange = ExchangeType.IkeAuth
  readonly name = 'IKE_AUTH'
  readonly #state: IkeState
  readonly #initiation: Initiation
  readonly #lifecycle: ChildLifecycle
  readonly #actions: AuthActions
  #offer: ChildOffer | undefined
  #ppk: PpkOffer | undefined

  constructor(state: IkeState, initiation: Initiation, lifecycle: ChildLifecycle, actions: AuthActions) {
    this.#state = state
    this.#initiation = initiation
    this.#lifecycle = lifecycle
    this.#actions = actions
  }

  begin(generation: Generation, now: Instant): IkePayload[] | undefined {
    const { context, abilities } = this.#state
    const { expectedId, child, request, initialContact } = this.#initiation
    const id = this.#initiation.localId ?? context.localIds[0]
    const credential = this.#initiation.credential ?? context.credential
    const resumes = this.#state.first!.resumed !== undefined
    const proof = this.#proof(generation, id, credential)
    if (proof === undefined) {
      this.#actions.refuse(explainOwnKey(keyKind(credential), this.#state), now)
      return undefined
    }
    const asks = resumes ? undefined : certRequest(context.authorities)
    const configuration = request === undefined ? undefined : configurationRequest(request)
    if (child !== undefined || !abilities.childless) this.#offer = this.#childOffer()
    return [
      { kind: 'id-i', type: id.type, data: id.data },
      ...(resumes || credential.kind === 'psk' ? [] : certPayloads(credential.chain)),
      ...(initialContact ? [notify(NotifyType.InitialContact)] : []),
      ...(asks === undefined ? [] : [asks]),
      ...(expectedId === undefined ? [] : [{ kind: 'id-r', type: expectedId.type, data: expectedId.data } as const]),
      ...proof,
      ...(configuration === undefined ? [] : [configuration]),
      ...(this.#offer === undefined ? [] : offerPayloads(this.#offer)),
      notify(NotifyType.MobikeSupported),
      notify(NotifyType.TicketRequest),
    ]
  }

  answered(answer: readonly IkePayload[], generation: Generation, now: Instant): void {
    const idR = payloadOf(answer, 'id-r')
    const auth = payloadOf(answer, 'auth')
    const offer = this.#offer
    if (idR === undefined || auth === undefined) {
      this.#release()
      const error = findError(answer)
      this.#state.fail(
        error === undefined
          ? explainUnusable('auth', 'its answer has no proof', this.#state)
          : explainRefusal('auth', error.type, this.#state),
      )
      this.#state.end('refused')
      return
    }
    const admitted = this.#admit(idR, auth, answer, generation)
    if ('failure' in admitted) {
      this.#release()
      this.#actions.refuse(admitted.failure, now)
      return
    }
    this.#actions.established(admitted.peer, admitted.grant, answer, now)
    this.#takeConfiguration(answer)
    const gateway = redirected(answer)
    if (gateway !== undefined) this.#state.emit({ kind: 'redirected', to: gateway })
    const ticket = takeTicket(answer, admitted.peer, generation.secrets!)
    if (ticket !== undefined) this.#state.emit({ kind: 'ticket', ticket })
    if (offer !== undefined && this.#initiation.child !== undefined) this.#takeChild(offer, answer, generation, now)
    this.#state.first = undefined
  }

  abandoned(): boolean {
    this.#release()
    return false
  }

  #release(): void {
    if (this.#offer !== undefined) dropOffer(this.#state, this.#offer)
    this.#offer = undefined
    this.#ppk?.wipe()
    this.#ppk = undefined
  }

  /** AUTH, and what goes with it of postquantum keys; undefined: the peer could not verify our kind of signature. */
  #proof(generation: Generation, id: IkeId, credential: Credential): IkePayload[] | undefined {
    const secrets = generation.secrets!
    const first = this.#state.first!
    const { ppk } = this.#initiation
    const prove = (keys: typeof secrets.keys): AuthPayload | undefined => {
      const octets = octetsOf('initiator', id, first, secrets.prf, keys)
      if (first.resumed !== undefined)
        return { kind: 'auth', method: AuthMethod.SharedKey, data: resumptionMic(secrets.prf, keys.pi, octets) }
      return makeAuth(credential, octets, this.#state.abilities.hashes, secrets.prf, this.#state.context.suite)
    }
    if (ppk === undefined || !first.ppk) {
      const auth = prove(secrets.keys)
      return auth === undefined ? undefined : [auth]
    }
    this.#ppk = new PpkOffer(ppk, secrets)
    return this.#ppk.payloads(prove)
  }

  #admit(
    idR: IkeId,
    auth: AuthPayload,
    answer: readonly IkePayload[],
    generation: Generation,
  ): { peer: AuthenticatedPeer; grant: PeerGrant } | { failure: NegotiationFailure } {
    const secrets = generation.secrets!
    this.#state.claimedId = { type: idR.type, data: idR.data.slice() }
    if (this.#ppk !== undefined && !this.#ppk.settle(answer))
      return { failure: explainUnusable('auth', 'it does not use the postquantum pre-shared key that is demanded', this.#state) }
    const verdict = verifyPeer(this.#state, 'responder', idR, auth, answer, secrets)
    if ('failure' in verdict) return verdict
    return admitPeer(this.#state, verdict.peer, secrets)
  }

  #childOffer(): ChildOffer | undefined {
    const { child } = this.#initiation
    if (child === undefined) return undefined
    return offerChild(this.#state, child.proposals, pairOf(child), undefined)
  }

  #takeConfiguration(answer: readonly IkePayload[]): void {
    const reply = payloadOf(answer, 'cp')
    const given = reply === undefined ? undefined : readConfiguration(reply)
    if (given !== undefined) this.#state.emit({ kind: 'configured', addresses: given.addresses, dns: given.dns })
  }

  #takeChild(offer: ChildOffer, answer: readonly IkePayload[], generation: Generation, now: Instant): void {
    const error = payloadOf(answer, 'sa') === undefined ? findError(answer) : undefined
    if (error !== undefined) {
      this.#release()
      this.#state.fail(explainRefusal('child', error.type, this.#state))
      this.#actions.childFailed(now)
      return
    }
    const made = takeAnswer(this.#state, generation, offer, answer, this.#state.first!.nonces)
    this.#offer = undefined
    if (typeof made === 'string') {
      this.#state.fail(explainUnusable('child', made, this.#state))
      enqueue(this.#state, new RefuseChildTask(this.#state, offer.inboundSpi), now)
      this.#actions.childFailed(now)
      return
    }
    this.#lifecycle.install(made.child, made.keys, undefined, now)
    this.#lifecycle.use(made.child)
  }
}

/** Of the key that the credential signs with. */
export const keyKind = (credential: Credential): string => (credential.kind === 'psk' ? 'pre-shared' : credential.key.kind)
