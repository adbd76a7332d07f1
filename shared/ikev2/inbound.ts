import { equalPublic } from '#shared/bytes/equal.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { decodeIkeHeader, IKE_HEADER_LENGTH, IKE_MAJOR_VERSION, type IkeHeader } from '#shared/wire/ike-header.ts'
import { ExchangeType, HeaderFlag, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { CriticalPayloadError, decodePayloads } from '#shared/wire/ike-payloads.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { answer, pump, send } from './exchange.ts'
import { explainCritical, explainSyntax } from './explain.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import { notify } from './notify.ts'
import type { Opened } from './sk-envelope.ts'

/** Datagrams that do not decrypt, until a peer that has proven nothing is forgotten. */
const FAILED_OPENS = 3
/** A repeated answer goes to another place than the first only where it is no longer than so many times its request. */
const AMPLIFICATION = 3

/** Who executes what has been opened. */
export interface InboundHandlers {
  /** An answer to our first message, unencrypted. Returns 0 or a DropReason. */
  firstAnswer(datagram: Uint8Array, header: IkeHeader, now: Instant): number
  /** A request of the peer: the payloads of the answer, and what follows once it is on its way. Undefined: it has no place here. */
  request(request: PeerRequest, generation: Generation, now: Instant): Executed | undefined
  /** Anything authentic and new has come. */
  heard(now: Instant): void
}

/** A request of the peer, opened and read. */
export interface PeerRequest {
  /** ExchangeType. */
  readonly exchange: number
  readonly payloads: readonly IkePayload[]
  readonly from: Endpoint
}

export interface Executed {
  readonly answer: readonly IkePayload[]
  readonly afterwards?: () => void
}

/**
 * Datagrams in: which generation, is its message ID the one in the window, is it authentic and whole, what does it say. Nothing is
 * executed twice, and nothing that is not authentic has any effect but on counters (P-28, P-29, A-09).
 */
export class Inbound {
  readonly #state: IkeState
  readonly #handlers: InboundHandlers

  constructor(state: IkeState, handlers: InboundHandlers) {
    this.#state = state
    this.#handlers = handlers
  }

  /** 0: authentic and new. A DropReason else. */
  receive(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    this.#state.isExecuting = true
    try {
      return this.#receive(datagram, from, now)
    } catch (error) {
      if (error instanceof WireError) return DropReason.Malformed
      throw error
    } finally {
      this.#state.isExecuting = false
      this.#pumpAll(now)
    }
  }

  #receive(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    const header = decodeIkeHeader(datagram)
    if (header.majorVersion !== IKE_MAJOR_VERSION) return DropReason.UnknownKind
    const isAnswer = (header.flags & HeaderFlag.Response) !== 0
    if (isFirstExchange(header)) return isAnswer ? this.#firstAnswer(datagram, header, now) : this.#firstAgain(datagram, from)
    const generation = this.#generationOf(header)
    if (generation?.secrets === undefined) return DropReason.UnknownReceiver
    return isAnswer ? this.#answer(datagram, header, generation, now) : this.#request(datagram, header, generation, from, now)
  }

  #generationOf({ initiatorSpi, responderSpi, flags }: IkeHeader): Generation | undefined {
    const weBegan = (flags & HeaderFlag.Initiator) === 0
    return this.#state.generations.find(
      (one) => one.isInitiator === weBegan && one.initiatorSpi === initiatorSpi && one.responderSpi === responderSpi,
    )
  }

  #firstAnswer(datagram: Uint8Array, header: IkeHeader, now: Instant): number {
    const [generation] = this.#state.generations
    const isOurs = generation?.isInitiator === true && generation.localSpi === header.initiatorSpi
    if (!isOurs || this.#state.state !== 'initiating' || generation.secrets !== undefined) return DropReason.UnknownReceiver
    if (!generation.requests.awaits(header.messageId, header.exchange)) return DropReason.Replayed
    return this.#handlers.firstAnswer(datagram, header, now)
  }

  /** The peer did not get our answer to its first message, of which every byte must be the same. */
  #firstAgain(datagram: Uint8Array, from: Endpoint): number {
    const { first, state } = this.#state
    const sent = this.#state.generations[0]?.answers.answer
    if (first === undefined || state !== 'half-open' || sent === undefined) return DropReason.UnknownReceiver
    if (!sameEndpoint(sent.to, from) || !equalPublic(datagram, first.initiatorMessage)) return DropReason.Replayed
    send(this.#state, sent)
    return DropReason.Replayed
  }

  #answer(datagram: Uint8Array, header: IkeHeader, generation: Generation, now: Instant): number {
    const { requests } = generation
    if (!requests.awaits(header.messageId, header.exchange)) return DropReason.Replayed
    const opened = this.#open(datagram, header, generation, now)
    if (typeof opened === 'number') return opened
    this.#handlers.heard(now)
    if (opened === undefined) return 0
    const payloads = this.#decode(opened)
    requests.answered(now)
    const task = generation.active
    generation.active = undefined
    if (payloads instanceof WireError) {
      // An answer that is authentic and yet unreadable leaves nothing to go on with (RFC 7296 §2.21.3).
      this.#state.fail(explainSyntax(this.#stage, payloads.message, this.#state))
      task?.abandoned()
      this.#state.end('refused')
      return 0
    }
    task?.answered(payloads, generation, now)
    return 0
  }

  #request(datagram: Uint8Array, header: IkeHeader, generation: Generation, from: Endpoint, now: Instant): number {
    const standing = generation.answers.standingOf(header.messageId)
    if (standing === 'out-of-window') return DropReason.Replayed
    if (standing === 'repeated') return this.#again(datagram, header, generation, from)
    const isProven = this.#state.state === 'established' || this.#state.state === 'closing'
    if (!isProven && header.exchange !== ExchangeType.IkeAuth) return DropReason.UnknownKind
    const opened = this.#open(datagram, header, generation, now)
    if (typeof opened === 'number') return opened
    if (opened === undefined) return 0
    const payloads = this.#decode(opened)
    if (payloads instanceof WireError) return this.#unreadable(payloads, header.exchange, generation, from)
    const executed = this.#handlers.request({ exchange: header.exchange, payloads, from }, generation, now)
    if (executed === undefined) return DropReason.UnknownKind
    this.#handlers.heard(now)
    answer(this.#state, generation, header.exchange, executed.answer, from)
    executed.afterwards?.()
    return 0
  }

  /** The peer did not get our last answer. It proves that it asks by the same message, sealed; a fragment's first stands for all. */
  #again(datagram: Uint8Array, header: IkeHeader, generation: Generation, from: Endpoint): number {
    const sent = generation.answers.answer!
    const outer = outerPayloads(datagram, header)
    const last = outer.at(-1)
    if (last?.kind === 'skf' && last.number !== 1) return DropReason.Replayed
    const opened = generation.secrets!.envelope.open(datagram, outer)
    if (typeof opened === 'number') return opened
    const length = sent.datagrams.reduce((sum, bytes) => sum + bytes.length, 0)
    const mayGo = sameEndpoint(sent.to, from) || length <= AMPLIFICATION * datagram.length
    if (mayGo) send(this.#state, { datagrams: sent.datagrams, to: from })
    return DropReason.Replayed
  }

  /** The inside of the message; undefined where fragments are missing. */
  #open(datagram: Uint8Array, header: IkeHeader, generation: Generation, now: Instant): Opened | undefined | DropReason {
    const outer = outerPayloads(datagram, header)
    const last = outer.at(-1)
    if (last?.kind === 'skf' && !generation.fragments.wants(header, last, now)) return DropReason.Replayed
    const opened = generation.secrets!.envelope.open(datagram, outer)
    if (typeof opened === 'number') {
      generation.failedOpens++
      if (this.#state.state === 'half-open' && generation.failedOpens >= FAILED_OPENS) this.#state.end('refused')
      return opened
    }
    return last?.kind === 'skf' ? generation.fragments.add(header, last, opened, now) : opened
  }

  #decode({ first, bytes }: Opened): IkePayload[] | WireError {
    try {
      return decodePayloads(first, bytes)
    } catch (error) {
      if (error instanceof WireError) return error
      throw error
    }
  }

  /** A request that is authentic and yet unreadable: told so, and the end of the IKE SA, unless it is only too new for us (§2.21.3, §2.5). */
  #unreadable(error: WireError, exchange: number, generation: Generation, from: Endpoint): number {
    if (error instanceof CriticalPayloadError) {
      this.#state.fail(explainCritical(this.#stage, error.payloadType, this.#state))
      const told = notify(NotifyType.UnsupportedCriticalPayload, Uint8Array.of(error.payloadType))
      answer(this.#state, generation, exchange, [told], from)
      if (exchange !== ExchangeType.IkeAuth) return 0
    } else {
      this.#state.fail(explainSyntax(this.#stage, error.message, this.#state))
      answer(this.#state, generation, exchange, [notify(NotifyType.InvalidSyntax)], from)
    }
    this.#state.end('refused')
    return 0
  }

  /** Whatever became free, or was moved to another generation, goes on. */
  #pumpAll(now: Instant): void {
    for (const generation of this.#state.generations) if (generation.queue.length > 0) pump(this.#state, generation, now)
  }

  get #stage(): 'auth' | 'child' {
    return this.#state.state === 'established' ? 'child' : 'auth'
  }
}

const isFirstExchange = ({ exchange }: IkeHeader): boolean =>
  exchange === ExchangeType.IkeSaInit || exchange === ExchangeType.IkeSessionResume

const outerPayloads = (datagram: Uint8Array, { firstPayload }: IkeHeader): IkePayload[] =>
  decodePayloads(firstPayload, datagram.subarray(IKE_HEADER_LENGTH))
