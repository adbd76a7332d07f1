import type { Suite } from '#shared/crypto/suite.ts'
import type { Deadline, Machine } from '#shared/machine.ts'
import { type Dice, uniform } from '#shared/time/backoff.ts'
import { after, type Duration, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { TRANSACTION_ID_LENGTH } from '#shared/wire/stun.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'
import { encodeBindingRequest, readBindingAnswer } from '#shared/wire/stun-binding.ts'

/** RFC 3948 §2.3. */
const KEEPALIVE = Uint8Array.of(0xff)
/** Every sixth keepalive asks where we come from. */
const QUESTION_EVERY = 6
/** How long an answer may take before the question counts as unanswered. */
const ANSWER_WITHIN: Duration = seconds(2)
/** Questions in a row without answer that force a handshake. */
const SILENCES = 2

export interface KeepaliveOptions {
  readonly suite: Pick<Suite, 'random'>
  /** Between two keepalives; default 25 s. The mapping's lifetime, once learnt, sets it anew. */
  readonly interval?: Duration
  /** Part of the interval by which each is moved earlier or later; default 0.1. */
  readonly spread?: number
}

export type KeepaliveInput =
  /** The tunnel is up (again): begin, with a question first. */
  | { kind: 'start' }
  | { kind: 'stop' }
  | { kind: 'interval'; interval: Duration }
  /** Something else went out on the same path: it has held the mapping. */
  | { kind: 'sent' }
  /** A datagram that `classify` calls STUN, from the broker's address. */
  | { kind: 'stun'; datagram: Uint8Array }
  | { kind: 'time' }

export type KeepaliveOutput =
  | { kind: 'send'; datagram: Uint8Array }
  /** Make a handshake at once: our address has changed, or nobody answers there. */
  | { kind: 'handshake-now'; why: 'moved' | 'silent' }
  /** Where the broker sees us, at first and whenever it changes. */
  | { kind: 'reflexive'; address: StunAddress }

interface Question {
  readonly transactionId: Uint8Array
  readonly answerBy: Instant
}

/**
 * Holds the NAT mapping of one path (DESIGN D7): one byte FF each interval, every sixth time a STUN binding request instead, padded so
 * that its answer is not larger. An answer that names another address than before, or two questions in a row without one, means that
 * what the peer knows of our place is worth nothing: a handshake must tell it anew.
 */
export class NatKeepalive implements Machine<KeepaliveInput, KeepaliveOutput> {
  readonly #suite: Pick<Suite, 'random'>
  readonly #dice: Dice
  readonly #spread: number
  readonly #outputs: KeepaliveOutput[] = []
  #interval: Duration
  /** When the next keepalive is due; undefined while stopped. */
  #nextAt: Instant | undefined
  #sinceQuestion = 0
  #question: Question | undefined
  #silences = 0
  #reflexive: StunAddress | undefined

  constructor({ suite, interval = seconds(25), spread = 0.1 }: KeepaliveOptions) {
    this.#suite = suite
    this.#dice = uniform((length) => suite.random(length))
    this.#interval = interval
    this.#spread = spread
  }

  /** Where the broker saw us last. */
  get reflexive(): StunAddress | undefined {
    return this.#reflexive
  }

  handle(input: KeepaliveInput, now: Instant): void {
    switch (input.kind) {
      case 'start':
        this.#silences = 0
        this.#ask(now)
        break
      case 'stop':
        this.#nextAt = undefined
        this.#question = undefined
        break
      case 'interval':
        this.#interval = input.interval
        if (this.#nextAt !== undefined) this.#arm(now)
        break
      case 'sent':
        if (this.#nextAt !== undefined) this.#arm(now)
        break
      case 'stun':
        this.#answered(input.datagram)
        break
      case 'time':
        this.#expire(now)
    }
  }

  poll(): KeepaliveOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    const question = this.#question
    if (question !== undefined && (this.#nextAt === undefined || question.answerBy <= this.#nextAt))
      return { at: question.answerBy, why: 'the binding answer is late' }
    return this.#nextAt === undefined ? undefined : { at: this.#nextAt, why: 'keepalive' }
  }

  #expire(now: Instant): void {
    if (this.#question !== undefined && now >= this.#question.answerBy) this.#unanswered(now)
    if (this.#nextAt === undefined || now < this.#nextAt) return
    this.#sinceQuestion++
    if (this.#sinceQuestion >= QUESTION_EVERY) this.#ask(now)
    else {
      this.#outputs.push({ kind: 'send', datagram: KEEPALIVE })
      this.#arm(now)
    }
  }

  /** A lost datagram is no proof: the question is put once more at once, and only the second silence counts. */
  #unanswered(now: Instant): void {
    this.#question = undefined
    this.#silences++
    if (this.#silences < SILENCES) {
      this.#ask(now)
      return
    }
    this.#silences = 0
    this.#outputs.push({ kind: 'handshake-now', why: 'silent' })
  }

  #answered(datagram: Uint8Array): void {
    if (this.#question === undefined) return
    const seen = readBindingAnswer(datagram, this.#question.transactionId)
    if (seen === undefined) return
    this.#question = undefined
    this.#silences = 0
    const before = this.#reflexive
    if (before !== undefined && before.address === seen.address && before.port === seen.port) return
    this.#reflexive = seen
    this.#outputs.push({ kind: 'reflexive', address: seen })
    if (before !== undefined) this.#outputs.push({ kind: 'handshake-now', why: 'moved' })
  }

  #ask(now: Instant): void {
    const transactionId = this.#suite.random(TRANSACTION_ID_LENGTH)
    this.#question = { transactionId, answerBy: after(now, ANSWER_WITHIN) }
    this.#sinceQuestion = 0
    this.#outputs.push({ kind: 'send', datagram: encodeBindingRequest(transactionId) })
    this.#arm(now)
  }

  #arm(now: Instant): void {
    const factor = 1 + this.#spread * (2 * this.#dice() - 1)
    this.#nextAt = after(now, milliseconds(this.#interval * factor))
  }
}
