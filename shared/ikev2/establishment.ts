import { after, type Instant } from '#shared/time/instant.ts'
import type { IkeHeader } from '#shared/wire/ike-header.ts'
import { NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { type AuthActions, AuthInitiator } from './auth-initiator.ts'
import { AuthResponder } from './auth-responder.ts'
import type { Children } from './children.ts'
import { enqueue } from './exchange.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import type { Executed } from './inbound.ts'
import { InitInitiator } from './init-initiator.ts'
import type { AcceptedInit } from './init-request.ts'
import { respondInit } from './init-responder.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import { hasNotify, notify } from './notify.ts'
import { readAbilities } from './peer-abilities.ts'
import type { AuthenticatedPeer, PeerGrant } from './peer-policy.ts'

const PROOF = 'proof of the peer'

/** What the first two exchanges ask of the machine around them. */
export interface EstablishmentActions {
  /** The association lives. */
  established(now: Instant): void
  /** It ends, and the peer is told so with these payloads before the delete. */
  beginClosing(why: 'refused', also: readonly IkePayload[], now: Instant): void
}

/** The first two exchanges of an association, either end: until both have proven who they are. */
export class Establishment implements AuthActions {
  readonly #state: IkeState
  readonly #children: Children
  readonly #actions: EstablishmentActions
  #init: InitInitiator | undefined

  constructor(state: IkeState, children: Children, actions: EstablishmentActions) {
    this.#state = state
    this.#children = children
    this.#actions = actions
  }

  /** Initiator: sends the first message; again from the start where the peer's proof never came. */
  initiate(now: Instant): void {
    this.#init?.wipe()
    for (const generation of this.#state.generations) this.#state.retire(generation)
    this.#init = new InitInitiator(this.#state, this.#state.initiation!, { keyed: (at) => this.#keyed(at) })
    this.#init.send(now)
  }

  /** Responder: answers the first message; false where it cannot be. */
  respond(request: AcceptedInit, now: Instant): boolean {
    if (!respondInit(this.#state, request)) return false
    this.#awaitProof(now, () => this.#state.end('dead'))
    return true
  }

  firstAnswer(datagram: Uint8Array, header: IkeHeader, now: Instant): number {
    return this.#init!.answered(datagram, header, now)
  }

  /** The initiator's IKE_AUTH. */
  authRequest(request: readonly IkePayload[], generation: Generation, now: Instant): Executed {
    const { answer, admitted } = new AuthResponder(this.#state, this.#children.lifecycle, this).respond(request, generation, now)
    return admitted ? { answer } : { answer, afterwards: () => this.#state.endSoon('refused', now) }
  }

  established(peer: AuthenticatedPeer, grant: PeerGrant, said: readonly IkePayload[], now: Instant): void {
    const state = this.#state
    state.timers.cancel(PROOF)
    state.state = 'established'
    state.peer = peer
    state.grant = grant
    readAbilities(state.abilities, said)
    const initialContact = state.initiation === undefined && hasNotify(said, NotifyType.InitialContact)
    state.emit({ kind: 'authenticated', peer, grant, initialContact, resumed: state.first?.resumed !== undefined })
    this.#actions.established(now)
  }

  refuse(failure: NegotiationFailure, now: Instant): void {
    this.#state.fail(failure)
    this.#actions.beginClosing('refused', [notify(NotifyType.AuthenticationFailed)], now)
  }

  childFailed(now: Instant): void {
    this.#children.childFailed(now)
  }

  wipe(): void {
    this.#init?.wipe()
  }

  #keyed(now: Instant): void {
    this.#awaitProof(now, (at) => this.initiate(at))
    this.#state.emit({ kind: 'rekeyed' })
    enqueue(this.#state, new AuthInitiator(this.#state, this.#state.initiation!, this.#children.lifecycle, this), now)
  }

  #awaitProof(now: Instant, otherwise: (now: Instant) => void): void {
    this.#state.timers.set(PROOF, after(now, this.#state.context.settings.halfOpenTime), otherwise)
  }
}

/** Whether IKE_AUTH is what the peer is to ask next. */
export const awaitsProof = (state: IkeState): boolean => state.state === 'half-open' && state.first !== undefined
