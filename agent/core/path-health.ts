import type { Suite } from '#shared/crypto/suite.ts'
import { type Dice, uniform } from '#shared/time/backoff.ts'
import { after, type Duration, elapsed, type Instant, instant, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import { PathCheck } from './path-check.ts'
import { ProbeLoss } from './probe-loss.ts'

/**
 * What the way to the broker is good for:
 * `up` everything; `small-packets-only` full-size packets vanish; `one-way` the broker is heard, we are not; `control-only` questions
 * and handshakes are answered, data is not; `down` nothing is.
 */
export type PathState = 'up' | 'one-way' | 'small-packets-only' | 'control-only' | 'down'

export interface PathHealth {
  readonly state: PathState
  readonly since: Instant
  /** For people: what was seen last that speaks for the state. */
  readonly evidence: string
  /** When that was seen; undefined before anything was. */
  readonly evidenceAt: Instant | undefined
}

export type HealthOutput =
  /** Send an authenticated probe through the data path. */
  | { kind: 'probe'; size: 'small' | 'full' }
  /** Ask by STUN where we come from: what answers, and what it says, tells a lost mapping from a lost broker. */
  | { kind: 'question' }
  /** The path works again after it was doubted: an authentic packet more lets the broker trust our place (DESIGN D7). */
  | { kind: 'confirm' }
  | { kind: 'black-hole' }
  | { kind: 'changed'; health: PathHealth }
  /** Still in trouble: time for a repair. */
  | { kind: 'trouble'; state: PathState }

/** Between two looks while someone watches. */
const WATCH_SPAN: Duration = seconds(5)
/**
 * Traffic that lasts is no proof that both directions pass: so often at least a probe is. Where we have asked for something meanwhile,
 * what comes may be an answer or not, and is proof the sooner, unless data is dear.
 */
const PROOF_SPAN: Duration = seconds(8)
const ASKED_PROOF_SPAN: Duration = seconds(3)
/** A check that has just ended answers for so long; so often at most one begins because data stays unanswered. */
const CHECK_SPACING: Duration = seconds(2)
/** Data unanswered for so long, or three round trips, is worth a question. */
const ANSWER_WITHIN: Duration = milliseconds(300)
/** So many packets in a row without a pause are a flow, whose silence is worth a question. */
const FLOW = 4
/** A pause that ends a flow. */
const PAUSE: Duration = seconds(2)
/** Where data is dear, a full-size packet that passed is believed for so long. */
const SPARED_FOR: Duration = minutes(10)
/** Between two tries of a probe at first; it grows by half up to `LONGEST_GAP`, and with nobody interested up to a minute. */
const FIRST_GAP: Duration = milliseconds(250)
const LONGEST_GAP: Duration = seconds(1)
const RAREST_GAP: Duration = seconds(60)
/** Inner packets of so many bytes are reason enough to test full-size ones. */
export const LARGE = 600
/**
 * Small probes lost in a row for so long; full-size ones swallowed: what makes a verdict at the least. A round trip may jump to 4 s from one
 * packet to the next (a satellite, a cell that is full), and nothing tells that from a dead path before the first answer.
 */
const SMALL_TRIES = 6
const FULL_TRIES = 3
const VERDICT_AFTER: Duration = milliseconds(4_500)
/** Where round trips are known to be long: so many of them, or two and so much more, whichever is less. */
const VERDICT_ROUND_TRIPS = 4
const VERDICT_BEYOND_TWO: Duration = seconds(3)
/** How long a failing path is asked briskly although nobody uses it. */
const BRISK: Duration = seconds(60)

/**
 * Judges the data path to the broker from authenticated probes, small and full-size, and asks for them only with a reason: data that
 * stays unanswered, a flow that falls silent, full-size traffic, a disturbance, somebody who watches. Verdicts come within 5 s of
 * doubt where round trips are short. What it hears costs two comparisons a packet.
 */
export class PathJudge {
  readonly #dice: Dice
  readonly #outputs: HealthOutput[] = []
  #health: PathHealth
  #check: PathCheck | undefined
  #checkedAt: Instant | undefined
  #watched = false
  /** Data is dear: full-size probes only where full-size packets may vanish, and proof at leisure. */
  #isSparing = false
  #watchAt: Instant | undefined
  #roundTrip: Duration = milliseconds(0)
  readonly #smallLoss = new ProbeLoss()
  readonly #fullLoss = new ProbeLoss()
  /** The first data packet since anything authentic was heard. */
  #unansweredSince: Instant | undefined
  /** The first data packet since a probe came back. */
  #askedSince: Instant | undefined
  #heardAt: Instant | undefined
  #run = 0
  #quietAt: Instant | undefined
  #usedAt: Instant | undefined
  /** Since when there has been traffic without a pause; when a probe came back last. */
  #busySince: Instant | undefined
  #provenAt: Instant | undefined
  #fullUsedAt: Instant | undefined
  #fullProvenAt: Instant | undefined
  #authenticAt: Instant | undefined
  #dataAt: Instant | undefined
  #answeredAt: Instant | undefined
  /** Whether the broker answers probes at all: one that never has is judged by its data. */
  #probesCount = false

  constructor(suite: Pick<Suite, 'random'>, now: Instant) {
    this.#dice = uniform((length) => suite.random(length))
    this.#health = { state: 'down', since: now, evidence: 'nothing was heard yet', evidenceAt: undefined }
  }

  get health(): PathHealth {
    return this.#health
  }

  get roundTrip(): Duration {
    return this.#roundTrip
  }

  /** What full-size means has changed. */
  resized(): void {
    this.#fullProvenAt = undefined
    this.#check?.resized()
  }

  watch(on: boolean, now: Instant): void {
    this.#watched = on
    this.#watchAt = on ? now : undefined
  }

  /** Whether data is dear. */
  spare(on: boolean): void {
    this.#isSparing = on
  }

  /** The path may have changed. `full`: it is another one, of whose size nothing is known. */
  disturb(full: boolean, now: Instant): void {
    const isFull = full && !this.#isSparing
    if (this.#check === undefined) this.#begin(isFull, true, now)
    else if (isFull) this.#check.full = true
  }

  /** Another way is in use: what was seen on the one before says nothing of it. */
  moved(now: Instant): void {
    this.#check = undefined
    this.#smallLoss.forget()
    this.#fullLoss.forget()
    this.#begin(!this.#isSparing, true, now)
  }

  /** An inner packet of ours went out; `asks`: its kind is answered, as data of TCP is and its acknowledgement is not. */
  sent(length: number, asks: boolean, now: Instant): void {
    this.#use(now)
    if (asks) {
      this.#unansweredSince ??= now
      this.#askedSince ??= now
    }
    if (length >= LARGE) this.#fullUsedAt = now
  }

  /** An inner packet came. */
  heard(length: number, now: Instant): void {
    const gap = this.#heardAt === undefined ? PAUSE : elapsed(this.#heardAt, now)
    this.#run = gap < PAUSE ? this.#run + 1 : 1
    this.#heardAt = now
    this.#use(now)
    this.#dataAt = now
    this.#unansweredSince = undefined
    this.#quietAt = this.#run >= FLOW ? after(now, milliseconds(Math.max(this.#answerWithin(), 2 * gap))) : undefined
    if (length >= LARGE) this.#fullUsedAt = now
    if (!this.#probesCount && this.#check !== undefined && this.#check.tries > 1) this.#trustData(now)
  }

  /** Anything authentic came that is no answer to a probe. */
  authentic(now: Instant): void {
    this.#authenticAt = now
  }

  /** A question or a handshake was answered. */
  answered(what: string, roundTrip: Duration | undefined, now: Instant): void {
    this.#answeredAt = now
    if (roundTrip !== undefined) this.#measure(roundTrip)
    if (this.#health.state === 'up' && this.#check === undefined) this.#say('up', what, now)
  }

  /** A probe of `sentAt` came back. */
  returned(size: 'small' | 'full', sentAt: Instant, now: Instant): void {
    const roundTrip = elapsed(sentAt, now)
    this.#probesCount = true
    this.#provenAt = now
    this.#askedSince = undefined
    this.#measure(roundTrip)
    this.#unansweredSince = undefined
    const check = this.#check
    if (size === 'full') this.#fullProvenAt = now
    if (check === undefined) return
    if (size === 'full') this.#fullLoss.returned(check.swallowed(this.#roundTrip, now, sentAt))
    else {
      const wasMute = check.silentTries > this.#smallLoss.verdict(SMALL_TRIES)
      const lost = check.smallReturned(sentAt, now)
      this.#smallLoss.returned(wasMute ? 0 : lost)
      if (check.full) return
    }
    const which = check.full ? 'full-size and small probes' : 'a probe'
    this.#pass(check, `${which} came back, after ${Math.round(roundTrip)} ms`, now)
  }

  /** There is no association that could carry anything. */
  lost(evidence: string, now: Instant): void {
    this.#check = undefined
    this.#quietAt = undefined
    this.#unansweredSince = undefined
    this.#say('down', evidence, now)
  }

  /** A handshake has found the broker, on a path of which nothing is known but the round trip that it took. */
  found(evidence: string, roundTrip: Duration | undefined, now: Instant): void {
    // What was judged on the way that was left is not taken back before the new one has shown itself.
    const { state } = this.#health
    if (state === 'down' || state === 'up') this.#say('up', evidence, now)
    this.#check = undefined
    this.#smallLoss.forget()
    this.#fullLoss.forget()
    if (roundTrip !== undefined) this.#measure(roundTrip)
    this.#begin(!this.#isSparing, true, now)
  }

  poll(): HealthOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Instant | undefined {
    if (this.#check !== undefined) return this.#check.nextAt
    const earliest = Math.min(
      this.#watchAt ?? Infinity,
      this.#unansweredAt(),
      this.#quietAt ?? Infinity,
      this.#proofAt(),
      this.#fullAt(),
    )
    return Number.isFinite(earliest) ? instant(earliest) : undefined
  }

  expire(now: Instant): void {
    const check = this.#check
    if (check !== undefined) {
      if (now >= check.nextAt) this.#try(check, now)
      return
    }
    const full = now >= this.#fullAt()
    if (this.#watchAt !== undefined && now >= this.#watchAt) this.#begin(!this.#isSparing, false, now)
    else if (now >= (this.#quietAt ?? Infinity)) this.#begin(this.#isFullUsed(now) && this.#isFullUnsure(now), true, now)
    else if (now >= this.#unansweredAt()) this.#begin(this.#isFullUsed(now), false, now)
    else if (full) this.#begin(true, false, now)
    else if (now >= this.#proofAt()) this.#begin(false, false, now)
  }

  #use(now: Instant): void {
    if (this.#usedAt === undefined || elapsed(this.#usedAt, now) > PAUSE) this.#busySince = now
    this.#usedAt = now
  }

  /** Traffic has lasted for a while, and lasts, since a probe came back. */
  #proofAt(): number {
    if (this.#usedAt === undefined || this.#busySince === undefined) return Infinity
    const due = after(instant(Math.max(this.#busySince, this.#provenAt ?? 0)), PROOF_SPAN)
    const asked = this.#askedSince
    const earliest =
      asked === undefined || this.#isSparing
        ? due
        : Math.min(due, after(instant(Math.max(this.#busySince, asked)), ASKED_PROOF_SPAN))
    return after(this.#usedAt, PAUSE) >= earliest ? earliest : Infinity
  }

  #unansweredAt(): number {
    if (this.#unansweredSince === undefined) return Infinity
    const due = after(this.#unansweredSince, this.#answerWithin())
    return this.#checkedAt === undefined ? due : Math.max(due, after(this.#checkedAt, CHECK_SPACING))
  }

  /** Full-size packets are in use, and nothing recent shows that they pass. */
  #fullAt(): number {
    if (this.#fullUsedAt === undefined || this.#isSparing) return Infinity
    const proven = this.#fullProvenAt
    if (proven === undefined) return this.#checkedAt === undefined ? this.#fullUsedAt : after(this.#checkedAt, CHECK_SPACING)
    return this.#fullUsedAt > proven ? Math.max(after(proven, CHECK_SPACING), this.#fullUsedAt) : Infinity
  }

  #isFullUsed(now: Instant): boolean {
    return this.#fullUsedAt !== undefined && elapsed(this.#fullUsedAt, now) < 2 * PAUSE
  }

  /** A flow that ended is no reason for another full-size probe where data is dear. */
  #isFullUnsure(now: Instant): boolean {
    return !this.#isSparing || this.#fullProvenAt === undefined || elapsed(this.#fullProvenAt, now) >= SPARED_FOR
  }

  #answerWithin(): Duration {
    return milliseconds(Math.max(ANSWER_WITHIN, 3 * this.#roundTrip))
  }

  #begin(full: boolean, doubted: boolean, now: Instant): void {
    this.#quietAt = undefined
    this.#check = new PathCheck(full, doubted, now)
    this.#try(this.#check, now)
  }

  #try(check: PathCheck, now: Instant): void {
    this.#judge(check, now)
    if (this.#check !== check) return
    const full = check.next(now)
    this.#outputs.push({ kind: 'probe', size: 'small' })
    if (full) this.#outputs.push({ kind: 'probe', size: 'full' })
    if (check.silentTries > 1) this.#outputs.push({ kind: 'question' })
    const verdictAt = after(check.silentSince, this.#patience)
    const next = after(now, this.#gap(check, now))
    check.nextAt = verdictAt > now && verdictAt < next ? verdictAt : next
  }

  #gap(check: PathCheck, now: Instant): Duration {
    // The first try may be answered before the next. Then none waits for another's answer: six round trips would take half a minute.
    const longest = check.silentTries > 1 ? LONGEST_GAP : this.#roundTrip + LONGEST_GAP
    const first = Math.max(FIRST_GAP, Math.min(1.5 * this.#roundTrip, longest))
    const interested = this.#watched || (this.#usedAt !== undefined && elapsed(this.#usedAt, now) < 2 * WATCH_SPAN)
    const brisk = interested || elapsed(check.startedAt, now) < BRISK
    const cap = Math.max(first, brisk ? LONGEST_GAP : RAREST_GAP)
    const grown = brisk ? first * 1.5 ** Math.max(0, check.tries - 3) : elapsed(check.startedAt, now) / 4
    return milliseconds(Math.min(cap, grown) * (1 - this.#dice() / 10))
  }

  /** Whether the tries so far make a verdict. */
  #judge(check: PathCheck, now: Instant): void {
    if (check.swallowed(this.#roundTrip, now) >= this.#fullLoss.verdict(FULL_TRIES)) {
      this.#say('small-packets-only', 'small probes came back, full-size ones did not', now)
      if (!check.holeTold) this.#outputs.push({ kind: 'black-hole' })
      check.holeTold = true
      this.#outputs.push({ kind: 'trouble', state: 'small-packets-only' })
      return
    }
    if (check.silentTries < this.#smallLoss.verdict(SMALL_TRIES)) return
    const since = check.silentSince
    const patience = this.#patience
    if (elapsed(since, now) < patience) return
    const recent = (at: Instant | undefined): boolean => at !== undefined && at > since && elapsed(at, now) <= 2 * patience
    if (!this.#probesCount && recent(this.#dataAt)) this.#trustData(now)
    else if (recent(this.#dataAt) || recent(this.#authenticAt))
      this.#fail('one-way', 'the broker is heard, but answers no probe of ours', now)
    else if (recent(this.#answeredAt))
      this.#fail('control-only', 'questions or handshakes are answered, probes through the tunnel are not', now)
    else this.#fail('down', 'neither probes nor questions are answered', now)
  }

  /** How long probes stay unanswered before that means anything. */
  get #patience(): Duration {
    const trips = Math.min(VERDICT_ROUND_TRIPS * this.#roundTrip, 2 * this.#roundTrip + VERDICT_BEYOND_TWO)
    return milliseconds(Math.max(VERDICT_AFTER, trips))
  }

  #fail(state: PathState, evidence: string, now: Instant): void {
    this.#say(state, evidence, now)
    this.#outputs.push({ kind: 'trouble', state })
  }

  #trustData(now: Instant): void {
    if (this.#check !== undefined) this.#pass(this.#check, 'data comes', now)
  }

  #pass(check: PathCheck, evidence: string, now: Instant): void {
    this.#check = undefined
    this.#checkedAt = now
    this.#unansweredSince = undefined
    if (this.#watchAt !== undefined) this.#watchAt = after(now, WATCH_SPAN)
    if (check.doubted || check.tries > 1) this.#outputs.push({ kind: 'confirm' })
    this.#say('up', evidence, now)
  }

  #measure(roundTrip: Duration): void {
    // A path that has become slow is believed at once: a verdict that comes before its answers would tear a tunnel that works.
    const slower = roundTrip > this.#roundTrip
    this.#roundTrip = slower ? roundTrip : milliseconds(this.#roundTrip + (roundTrip - this.#roundTrip) / 4)
  }

  #say(state: PathState, evidence: string, now: Instant): void {
    const changed = state !== this.#health.state
    this.#health = { state, since: changed ? now : this.#health.since, evidence, evidenceAt: now }
    if (changed) this.#outputs.push({ kind: 'changed', health: this.#health })
  }
}
