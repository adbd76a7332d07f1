import { wipe } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { after, type Instant, minutes } from '#shared/time/instant.ts'
import type { IkeHeader } from '#shared/wire/ike-header.ts'
import { decodeIkeMessage, encodeIkeMessage } from '#shared/wire/ike-message.ts'
import { ExchangeType, NotifyType, TransformType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { explainRefusal, explainUnusable } from './explain.ts'
import { Generation } from './generation.ts'
import { type GenerationSecrets, initialSecrets, resumedSecrets } from './generation-secrets.ts'
import type { Initiation } from './ike-context.ts'
import type { IkeState } from './ike-state.ts'
import { natDetection, signatureHashes } from './init-answer.ts'
import { groupsOf, type KeyShare, keyPayload, makeShare, sharedWith } from './key-share.ts'
import { findError, findNotify, hasNotify, notify, wantedGroup } from './notify.ts'
import { FIRST_NONCE_LENGTH } from './numbers.ts'
import { payloadOf } from './payload-of.ts'
import { readAbilities } from './peer-abilities.ts'
import { offerOf } from './proposal.ts'
import { redirectedByFirst, redirectedFrom } from './redirect.ts'
import { checkAnswer, idOf } from './select-proposal.ts'

/** First messages sent because of an unauthenticated answer, until only the timer sends any: who forges answers gains no more. */
const TURNS = 6
/** A refusal that anybody could have sent is recorded once in so long. */
const REFUSAL_SPACING = minutes(1)

/** What the first exchange leads to. */
export interface InitActions {
  /** Keys are there: IKE_AUTH is next. */
  keyed(now: Instant): void
}

/**
 * The initiator's half of the first exchange (RFC 7296 §1.2), or of IKE_SESSION_RESUME (RFC 5723). Nothing that comes is authenticated
 * yet: a cookie, another group or a refused ticket changes the next message; an error is recorded and otherwise not believed, so that a
 * forged one ends nothing (P-29).
 */
export class InitInitiator {
  readonly #state: IkeState
  readonly #initiation: Initiation
  readonly #actions: InitActions
  #generation: Generation
  #nonce: Uint8Array
  #share: KeyShare | undefined
  #cookie: Uint8Array | undefined
  #message: Uint8Array = new Uint8Array()
  /** Groups asked for so far. */
  #tried = new Set<number>()
  #turns = 0
  #usesTicket: boolean
  #refusedAt: Instant | undefined

  constructor(state: IkeState, initiation: Initiation, actions: InitActions) {
    this.#state = state
    this.#initiation = initiation
    this.#actions = actions
    this.#usesTicket = initiation.ticket !== undefined
    this.#nonce = state.context.suite.random(FIRST_NONCE_LENGTH)
    this.#generation = new Generation(state.context, state.context.newSpi(), 0n, true)
    state.generations = [this.#generation]
  }

  /** Sends the first message, or the first message anew after an answer that wanted it otherwise. */
  send(now: Instant): void {
    const { context } = this.#state
    if (!this.#usesTicket && this.#share === undefined) {
      const group = groupsOf(context.proposals).find((one) => !this.#tried.has(one)) ?? groupsOf(context.proposals)[0]!
      this.#share = makeShare(context.suite, group)
    }
    if (this.#share !== undefined) this.#tried.add(this.#share.group)
    const exchange = this.#usesTicket ? ExchangeType.IkeSessionResume : ExchangeType.IkeSaInit
    this.#message = encodeIkeMessage(this.#generation.header(exchange, 0, false), this.#payloads())
    this.#generation.requests.beginAgain()
    this.#generation.requests.sent(exchange, [this.#message], now)
    this.#state.emit({ kind: 'send', datagram: this.#message })
  }

  #payloads(): IkePayload[] {
    const { context } = this.#state
    const { ticket, ppk, redirectedFrom: from } = this.#initiation
    const cookie = this.#cookie === undefined ? [] : [notify(NotifyType.Cookie, this.#cookie)]
    const nonce: IkePayload = { kind: 'nonce', nonce: this.#nonce }
    const extensions = [
      ...natDetection(context.suite),
      notify(NotifyType.FragmentationSupported),
      signatureHashes(),
      notify(NotifyType.RedirectSupported),
      ...(from === undefined ? [] : [redirectedFrom(from)]),
      ...(ppk === undefined ? [] : [notify(NotifyType.UsePpk)]),
    ]
    if (this.#usesTicket) return [...cookie, nonce, notify(NotifyType.TicketOpaque, ticket!.opaque), ...extensions]
    const offered = offerOf(context.proposals, new Uint8Array())
    return [...cookie, { kind: 'sa', proposals: offered }, keyPayload(this.#share!), nonce, ...extensions]
  }

  /** Returns 0 where the exchange is done, a DropReason where what came proves nothing. */
  answered(datagram: Uint8Array, header: IkeHeader, now: Instant): number {
    const { payloads } = decodeIkeMessage(datagram)
    const nonce = payloadOf(payloads, 'nonce')
    const taken = nonce === undefined ? undefined : this.#take(payloads, nonce.nonce.slice(), header)
    if (taken === undefined) return this.#turn(payloads, now)
    if (typeof taken === 'string') {
      this.#record(() => this.#state.fail(explainUnusable('init', taken, this.#state)), now)
      return DropReason.Unauthentic
    }
    const generation = this.#generation
    generation.remoteSpi = header.responderSpi
    generation.secrets = taken
    generation.requests.answered(now)
    readAbilities(this.#state.abilities, payloads)
    this.#state.first = {
      initiatorMessage: this.#message,
      responderMessage: datagram.slice(),
      nonces: { initiator: this.#nonce, responder: nonce!.nonce.slice() },
      resumed: this.#usesTicket ? this.#initiation.ticket!.peer : undefined,
      ppk: this.#initiation.ppk !== undefined && hasNotify(payloads, NotifyType.UsePpk),
    }
    this.#state.heardAt = now
    this.#actions.keyed(now)
    return 0
  }

  /** The keys that an answer gives; a text where it is no good, undefined where it is no such answer at all. */
  #take(payloads: readonly IkePayload[], theirNonce: Uint8Array, header: IkeHeader): GenerationSecrets | string | undefined {
    const { suite, proposals } = this.#state.context
    const nonces = { initiator: this.#nonce, responder: theirNonce }
    const spis = { initiator: this.#generation.localSpi, responder: header.responderSpi }
    if (header.responderSpi === 0n) return undefined
    if (this.#usesTicket) {
      const { algorithms, skD } = this.#initiation.ticket!
      return resumedSecrets(suite, algorithms, skD, { nonces, spis, isInitiator: true })
    }
    const sa = payloadOf(payloads, 'sa')
    const ke = payloadOf(payloads, 'ke')
    if (sa === undefined || ke === undefined) return undefined
    const verdict = checkAnswer(sa.proposals, offerOf(proposals, new Uint8Array()))
    if ('wrong' in verdict) return verdict.wrong
    const { chosen } = verdict
    const share = this.#share!
    if (idOf(chosen, TransformType.KeyExchange) !== share.group) return 'it chose another group than that of the key exchange'
    // A forged public value must not spend the private half.
    const shared = sharedWith(suite, share, ke)
    if (shared === undefined) return 'its public value is none of that group'
    wipe(share.pair.privateKey)
    return initialSecrets(suite, { ...chosen, spi: new Uint8Array() }, { shared, nonces, spis, isInitiator: true })
  }

  /** The peer wants the first message otherwise, or does not want it. */
  #turn(payloads: readonly IkePayload[], now: Instant): number {
    const cookie = findNotify(payloads, NotifyType.Cookie)
    const invalid = findNotify(payloads, NotifyType.InvalidKePayload)
    const group = invalid === undefined ? undefined : wantedGroup(invalid)
    if (this.#turns < TURNS) {
      if (cookie !== undefined && cookie.data.length > 0 && cookie.data.length <= 64)
        return this.#again(() => this.#takeCookie(cookie.data), now)
      if (group !== undefined && !this.#tried.has(group) && groupsOf(this.#state.context.proposals).includes(group))
        return this.#again(() => this.#takeGroup(group), now)
      if (this.#usesTicket && hasNotify(payloads, NotifyType.TicketNack)) return this.#again(() => this.#dropTicket(), now)
    }
    const gateway = redirectedByFirst(payloads, this.#nonce)
    if (gateway !== undefined) this.#record(() => this.#state.emit({ kind: 'redirected', to: gateway }), now)
    const error = findError(payloads)
    if (error !== undefined) this.#record(() => this.#state.fail(explainRefusal('init', error.type, this.#state)), now)
    return DropReason.Unauthentic
  }

  #again(change: () => void, now: Instant): number {
    this.#turns++
    change()
    this.send(now)
    return 0
  }

  #takeCookie(cookie: Uint8Array): void {
    this.#cookie = cookie.slice()
  }

  #takeGroup(group: number): void {
    wipe(this.#share?.pair.privateKey)
    this.#share = makeShare(this.#state.context.suite, group)
  }

  #dropTicket(): void {
    this.#usesTicket = false
    this.#cookie = undefined
  }

  #record(fail: () => void, now: Instant): void {
    if (this.#refusedAt !== undefined && now < after(this.#refusedAt, REFUSAL_SPACING)) return
    this.#refusedAt = now
    this.#state.wasRefused = true
    fail()
  }

  /** Forgets the private half of the key exchange. */
  wipe(): void {
    wipe(this.#share?.pair.privateKey)
  }
}
