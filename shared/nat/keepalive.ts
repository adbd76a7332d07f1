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
/**
 * Behind a NAT that forgets within half a minute, every eighth: that is still four times as often as behind a good one, and six would
 * cost a fleet on metered lines a tenth more.
 */
const QUESTION_EVERY_SHORT = 8
const SHORT_INTERVAL = seconds(30)
/** A learned interval is moved no further than this: it lies as near to the mapping's lifetime as it may. */
const LEARNED_SPREAD = 0.01
/** The first keepalives after an interval that has just been learned or remembered are questions, so that an error shows at once. */
const QUESTIONS_FIRST = 2
/** Octets of a question, so that its answer fits: with an IPv4 address, and with an IPv6 one. */
export const questionLength = { v4: 32, v6: 44 } as const
/**
 * A new mapping is used both ways once more so soon: only then does Linux conntrack grant it the long timeout, which is what was learned
 * (DESIGN D7).
 */
const AGING = milliseconds(2_500)
/** On demand the mapping is held for so long after the last traffic. */
const AWAKE_FOR = seconds(60)
/** How long an answer may take before the question counts as unanswered, at least; three round trips where they are longer. */
const ANSWER_WITHIN: Duration = seconds(2)
/** Questions in a row without answer that force a handshake. */
const SILENCES = 2

export interface KeepaliveOptions {
  readonly suite: Pick<Suite, 'random'>
  /** Between two keepalives while nothing better is learned; default 25 s. */
  readonly interval?: Duration
  /** Part of the interval by which each is moved earlier or later; default 0.1. */
  readonly spread?: number
}

export type KeepaliveInput =
  /** The tunnel is up (again): begin, with a question first. */
  | { kind: 'start' }
  | { kind: 'stop' }
  | { kind: 'interval'; interval: Duration }
  /** What this network's mappings are known to outlive; undefined: nothing is known of it (any more). */
  | { kind: 'learned'; interval: Duration | undefined }
  /** `poll`: let the mapping go while nothing is said, and ask so often whether somebody wants us; undefined: hold it. */
  | { kind: 'sleep'; poll: Duration | undefined }
  /** What the path was measured to take. */
  | { kind: 'round-trip'; roundTrip: Duration }
  /** Somebody talks through the tunnel: it stays awake for a minute. */
  | { kind: 'traffic' }
  /** Something else went out on the same path: it has held the mapping. */
  | { kind: 'sent' }
  /** A datagram that `classify` calls STUN, from the broker's address. */
  | { kind: 'stun'; datagram: Uint8Array }
  | { kind: 'time' }

export type KeepaliveOutput =
  | { kind: 'send'; datagram: Uint8Array }
  /** Make a handshake at once: our address has changed, or nobody answers there. */
  | { kind: 'handshake-now'; why: 'moved' | 'silent' }
  /** The NAT forgot us within a learned interval, which counts no more: it must be learned anew. */
  | { kind: 'binding-lost'; interval: Duration }
  /** Where the broker sees us, at first and whenever it changes. */
  | { kind: 'reflexive'; address: StunAddress }

/** How many keepalives of a learned interval make a round, whose last is the question. */
export const questionEvery = (learned: Duration | undefined): number =>
  learned !== undefined && learned < SHORT_INTERVAL ? QUESTION_EVERY_SHORT : QUESTION_EVERY

interface Question {
  readonly transactionId: Uint8Array
  readonly askedAt: Instant
}

/**
 * Holds the NAT mapping of one path (DESIGN D7): one byte FF each interval, every sixth time a STUN binding request instead, padded so
 * that its answer is not larger. An answer that names another address than before, or two questions in a row without one, means that
 * what the peer knows of our place is worth nothing: a handshake must tell it anew. On demand it asks that question only now and then:
 * the answer's way back is open for a while, and whoever has something to say to us says it then.
 */
export class NatKeepalive implements Machine<KeepaliveInput, KeepaliveOutput> {
  readonly #suite: Pick<Suite, 'random'>
  readonly #dice: Dice
  readonly #spread: number
  readonly #outputs: KeepaliveOutput[] = []
  #default: Duration
  #learned: Duration | undefined
  #poll: Duration | undefined
  /** The end of the minute after the last traffic. */
  #awakeUntil: Instant | undefined
  /** When the next keepalive, or the next poll, is due; undefined while stopped. */
  #nextAt: Instant | undefined
  /** The mapping is new: its first answer is still to come, or its aging is due then. */
  #isNew = false
  #ageAt: Instant | undefined
  /** When something last went out on the path. */
  #sentAt: Instant | undefined
  #sinceQuestion = 0
  /** Questions that are still to come before FF serves. */
  #questionsFirst = 0
  /** A question has been answered since the interval was learned: what moves now has been lost within it, and not before it. */
  #isOnTrial = false
  #question: Question | undefined
  #patience: Duration = ANSWER_WITHIN
  #silences = 0
  #reflexive: StunAddress | undefined
  #answeredAt: Instant | undefined

  constructor({ suite, interval = seconds(25), spread = 0.1 }: KeepaliveOptions) {
    this.#suite = suite
    this.#dice = uniform((length) => suite.random(length))
    this.#default = interval
    this.#spread = spread
  }

  /** Where the broker saw us last. */
  get reflexive(): StunAddress | undefined {
    return this.#reflexive
  }

  /** When a question was answered last. */
  get answeredAt(): Instant | undefined {
    return this.#answeredAt
  }

  /** Between two keepalives, while the mapping is held. */
  get interval(): Duration {
    return this.#learned ?? this.#default
  }

  handle(input: KeepaliveInput, now: Instant): void {
    switch (input.kind) {
      case 'start':
        this.#silences = 0
        this.#isNew = true
        this.#ask(now)
        break
      case 'stop':
        this.#nextAt = undefined
        this.#ageAt = undefined
        this.#question = undefined
        break
      case 'interval':
        this.#default = input.interval
        this.#rearm(now)
        break
      case 'learned':
        if (input.interval !== undefined && input.interval !== this.#learned) {
          this.#questionsFirst = QUESTIONS_FIRST
          this.#isOnTrial = false
        }
        this.#learned = input.interval
        this.#rearm(now)
        break
      case 'sleep':
        this.#poll = input.poll
        this.#rearm(now)
        break
      case 'round-trip':
        this.#patience = milliseconds(Math.max(ANSWER_WITHIN, 3 * input.roundTrip))
        break
      case 'traffic':
        this.#awakeUntil = after(now, AWAKE_FOR)
        if (this.#nextAt !== undefined) this.#arm(now)
        break
      case 'sent':
        if (this.#nextAt !== undefined) this.#arm(now)
        break
      case 'stun':
        this.#answered(input.datagram, now)
        break
      case 'time':
        this.#expire(now)
    }
  }

  poll(): KeepaliveOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    const answerBy = this.#answerBy
    if (answerBy !== undefined && (this.#nextAt === undefined || answerBy <= this.#nextAt))
      return { at: answerBy, why: 'the binding answer is late' }
    return this.#nextAt === undefined ? undefined : { at: this.#nextAt, why: 'keepalive' }
  }

  #expire(now: Instant): void {
    if (now >= (this.#answerBy ?? Infinity)) this.#unanswered(now)
    if (this.#nextAt === undefined || now < this.#nextAt) return
    if (this.#ageAt !== undefined && now >= this.#ageAt) {
      this.#ageAt = undefined
      this.#ask(now)
      return
    }
    this.#sinceQuestion++
    if (this.#poll !== undefined || this.#questionsFirst > 0 || this.#sinceQuestion >= questionEvery(this.#learned))
      this.#ask(now)
    else {
      this.#outputs.push({ kind: 'send', datagram: KEEPALIVE })
      this.#arm(now)
    }
  }

  get #answerBy(): Instant | undefined {
    return this.#question && after(this.#question.askedAt, this.#patience)
  }

  #isAsleep(now: Instant): boolean {
    return this.#poll !== undefined && (this.#awakeUntil === undefined || now >= this.#awakeUntil)
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

  #answered(datagram: Uint8Array, now: Instant): void {
    if (this.#question === undefined) return
    const seen = readBindingAnswer(datagram, this.#question.transactionId)
    if (seen === undefined) return
    this.#question = undefined
    this.#answeredAt = now
    this.#silences = 0
    if (this.#questionsFirst > 0) this.#questionsFirst--
    const wasOnTrial = this.#isOnTrial
    this.#isOnTrial = this.#learned !== undefined
    const before = this.#reflexive
    const isMoved = before?.address !== seen.address || before.port !== seen.port
    if ((this.#isNew || isMoved) && !this.#isAsleep(now)) {
      this.#ageAt = after(now, AGING)
      this.#nextAt = this.#ageAt
    }
    this.#isNew = false
    if (!isMoved) return
    this.#reflexive = seen
    this.#outputs.push({ kind: 'reflexive', address: seen })
    if (before === undefined) return
    // The same public address and another port: the mapping died between two keepalives, and the network is the one that it was.
    if (before.address === seen.address && wasOnTrial) this.#bindingLost(now)
    this.#outputs.push({ kind: 'handshake-now', why: 'moved' })
  }

  #bindingLost(now: Instant): void {
    const interval = this.#learned
    if (interval === undefined || this.#poll !== undefined) return
    this.#learned = undefined
    this.#outputs.push({ kind: 'binding-lost', interval })
    this.#rearm(now)
  }

  #ask(now: Instant): void {
    const transactionId = this.#suite.random(TRANSACTION_ID_LENGTH)
    this.#question = { transactionId, askedAt: now }
    this.#sinceQuestion = 0
    const isV4 = this.#reflexive !== undefined && !this.#reflexive.address.includes(':')
    const length = isV4 ? questionLength.v4 : questionLength.v6
    this.#outputs.push({ kind: 'send', datagram: encodeBindingRequest(transactionId, { length }) })
    this.#arm(now)
  }

  /** Another interval counts from the last datagram: it is the mapping's age that matters, not ours. */
  #rearm(now: Instant): void {
    if (this.#nextAt !== undefined) this.#arm(this.#sentAt ?? now, now)
  }

  /** `sentAt`: when something last went out. */
  #arm(sentAt: Instant, now: Instant = sentAt): void {
    const poll = this.#isAsleep(now) ? this.#poll : undefined
    const isLearned = poll === undefined && this.#learned !== undefined
    const factor = 1 + (isLearned ? LEARNED_SPREAD : this.#spread) * (2 * this.#dice() - 1)
    this.#sentAt = sentAt
    const due = after(sentAt, milliseconds((poll ?? this.interval) * factor))
    this.#nextAt = this.#ageAt !== undefined && this.#ageAt < due ? this.#ageAt : due
  }
}
