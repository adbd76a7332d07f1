import type { Instant } from '#shared/time/instant.ts'
import type { IkeHeaderFields } from '#shared/wire/ike-message.ts'
import { HeaderFlag } from '#shared/wire/ike-numbers.ts'
import { AnswerCache } from './answer-cache.ts'
import { FragmentBuffer } from './fragment-buffer.ts'
import type { GenerationSecrets } from './generation-secrets.ts'
import type { IkeContext } from './ike-context.ts'
import { RequestWindow } from './request-window.ts'
import type { Task } from './task.ts'

/**
 *   current ──(a rekey has made another one)──> superseded: the peer, who began the rekey, is to delete it
 *                                          └──> closing: we began it, or end the association: our delete is on its way
 *   crossing: the peer's rekey of it was answered while ours is unanswered; one of the two results will be current (RFC 7296 §2.8.2)
 */
export type GenerationStanding = 'current' | 'crossing' | 'superseded' | 'closing'

/**
 * One set of SPIs and keys with its two windows: what RFC 7296 calls an IKE SA. An association has one at most times, two or three while
 * it is being rekeyed.
 */
export class Generation {
  readonly localSpi: bigint
  /** 0 until the peer has said it. */
  remoteSpi: bigint
  /** Whether we began the exchange that made it: decides flags and keys, whoever began the association. */
  readonly isInitiator: boolean
  readonly requests: RequestWindow
  readonly answers = new AnswerCache()
  readonly fragments = new FragmentBuffer()
  standing: GenerationStanding = 'current'
  secrets: GenerationSecrets | undefined
  /** Datagrams that did not decrypt. */
  failedOpens = 0
  /** The request under way, and those that wait for it. */
  active: Task | undefined
  queue: Task[] = []

  constructor(
    context: IkeContext,
    localSpi: bigint,
    remoteSpi: bigint,
    isInitiator: boolean,
    roundTrip?: RequestWindow['roundTrip'],
  ) {
    this.localSpi = localSpi
    this.remoteSpi = remoteSpi
    this.isInitiator = isInitiator
    this.requests = new RequestWindow(context.settings, context.dice, roundTrip)
  }

  get initiatorSpi(): bigint {
    return this.isInitiator ? this.localSpi : this.remoteSpi
  }

  get responderSpi(): bigint {
    return this.isInitiator ? this.remoteSpi : this.localSpi
  }

  /** The header of a message of ours. */
  header(exchange: number, messageId: number, isResponse: boolean): IkeHeaderFields {
    const flags = (this.isInitiator ? HeaderFlag.Initiator : 0) | (isResponse ? HeaderFlag.Response : 0)
    const { initiatorSpi, responderSpi } = this
    return { initiatorSpi, responderSpi, majorVersion: 2, minorVersion: 0, exchange, flags, messageId }
  }

  /** When the outstanding request is to be repeated. */
  get due(): Instant | undefined {
    return this.requests.outstanding?.nextAt
  }

  wipe(): void {
    this.secrets?.wipe()
    this.secrets = undefined
    this.fragments.wipe()
  }
}
