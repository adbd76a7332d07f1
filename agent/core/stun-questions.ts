import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Duration, elapsed, type Instant } from '#shared/time/instant.ts'
import { copyEndpoint, type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { TRANSACTION_ID_LENGTH } from '#shared/wire/stun.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'
import { encodeBindingRequest, readBindingAnswer } from '#shared/wire/stun-binding.ts'

/** Questions that may still be answered. */
const OUTSTANDING = 32

export interface StunAnswer {
  readonly endpoint: Endpoint
  readonly address: StunAddress
  readonly roundTrip: Duration
}

/** Binding requests (RFC 8489 §6) to broker addresses, and whose answer an answer is. One that comes from elsewhere is none. */
export class StunQuestions {
  readonly #suite: Pick<Suite, 'random'>
  readonly #outstanding = new Map<string, { transactionId: Uint8Array; endpoint: Endpoint; sentAt: Instant }>()

  constructor(suite: Pick<Suite, 'random'>) {
    this.#suite = suite
  }

  /** The datagram to send to `endpoint`, padded so that its answer is not larger. */
  ask(endpoint: Endpoint, now: Instant): Uint8Array {
    const transactionId = this.#suite.random(TRANSACTION_ID_LENGTH)
    this.#outstanding.set(toHex(transactionId), { transactionId, endpoint: copyEndpoint(endpoint), sentAt: now })
    if (this.#outstanding.size > OUTSTANDING) this.#outstanding.delete(this.#outstanding.keys().next().value!)
    return encodeBindingRequest(transactionId)
  }

  /** Undefined where `datagram` answers none of them. Never throws. */
  take(datagram: Uint8Array, from: Endpoint, now: Instant): StunAnswer | undefined {
    if (datagram.length < 20) return undefined
    const key = toHex(datagram.subarray(8, 20))
    const question = this.#outstanding.get(key)
    if (question === undefined || !sameEndpoint(question.endpoint, from)) return undefined
    const address = readBindingAnswer(datagram, question.transactionId)
    if (address === undefined) return undefined
    this.#outstanding.delete(key)
    return { endpoint: question.endpoint, address, roundTrip: elapsed(question.sentAt, now) }
  }
}
