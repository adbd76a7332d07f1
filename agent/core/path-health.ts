import type { Suite } from '#shared/crypto/suite.ts'
import { type Dice, uniform } from '#shared/time/backoff.ts'
import { after, type Duration, elapsed, type Instant, instant, milliseconds, minutes, seconds } from '#shared/time/instant.ts'

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
const LARGE = 600
/** Full-size probes lost while a small one came back, small ones lost while anything else came: what makes a verdict. */
const FULL_TRIES = 3
const SMALL_TRIES = 6
const VERDICT_AFTER: Duration = milliseconds(2_500)
/** How long a failing path is asked briskly although nobody uses it. */
const BRISK: Duration = seconds(60)

interface Check {
  readonly startedAt: Instant
  /** Whether full-size packets are tested too. */
  full: boolean
  tries: number
  fullTries: number
  smallAt: Instant | undefined
  fullAt: Instant | undefined
  holeTold: boolean
  nextAt: Instant
  /** The broker may not know where we are. */
  readonly doubted: boolean
}

/**
 * Judges the data path to the broker from authenticated probes, small and full-size, and asks for them only with a reason: data that
 * stays unanswered, a flow that falls silent, full-size traffic, a disturbance, somebody who watches. Verdicts come within 4 s of
 * doubt. What it hears costs two comparisons a packet.
 */
export class PathJudge {
  readonly #dice: Dice
  readonly #outputs: HealthOutput[] = []
  #health: PathHealth
  #check: Check | undefined
  #checkedAt: Instant | undefined
  #watched = false
  /** Data is dear: full-size probes only where full-size packets may vanish, and proof at leisure. */
  #isSparing = false
  #watchAt: Instant | undefined
  #roundTrip: Duration = milliseconds(0)
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
    if (this.#check === undefined) return
    this.#check.fullTries = 0
    this.#check.holeTold = false
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

  /** A probe came back. */
  returned(size: 'small' | 'full', roundTrip: Duration, now: Instant): void {
    this.#probesCount = true
    this.#provenAt = now
    this.#askedSince = undefined
    this.#measure(roundTrip)
    this.#unansweredSince = undefined
    const check = this.#check
    if (size === 'full') this.#fullProvenAt = now
    if (check === undefined) return
    check.smallAt ??= now
    if (size === 'full') check.fullAt ??= now
    if (!check.full || check.fullAt !== undefined) {
      const ms = Math.round(roundTrip)
      this.#pass(
        check,
        check.full ? `full-size and small probes came back, after ${ms} ms` : `a probe came back after ${ms} ms`,
        now,
      )
    }
  }

  /** There is no association that could carry anything. */
  lost(evidence: string, now: Instant): void {
    this.#check = undefined
    this.#quietAt = undefined
    this.#unansweredSince = undefined
    this.#say('down', evidence, now)
  }

  /** A handshake has found the broker, on a path of which nothing else is known. */
  found(evidence: string, now: Instant): void {
    // What was judged on the way that was left is not taken back before the new one has shown itself.
    const { state } = this.#health
    if (state === 'down' || state === 'up') this.#say('up', evidence, now)
    this.#check = undefined
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
    const fresh = { tries: 0, fullTries: 0, smallAt: undefined, fullAt: undefined, holeTold: false }
    this.#check = { startedAt: now, full, ...fresh, nextAt: now, doubted }
    this.#try(this.#check, now)
  }

  #try(check: Check, now: Instant): void {
    this.#judge(check, now)
    if (this.#check !== check) return
    check.tries++
    if (check.smallAt === undefined) this.#outputs.push({ kind: 'probe', size: 'small' })
    if (check.full && check.fullAt === undefined && (check.smallAt !== undefined || check.tries <= FULL_TRIES)) {
      check.fullTries++
      this.#outputs.push({ kind: 'probe', size: 'full' })
    }
    if (check.smallAt === undefined && check.tries > 1) this.#outputs.push({ kind: 'question' })
    check.nextAt = after(now, this.#gap(check, now))
  }

  #gap(check: Check, now: Instant): Duration {
    const first = Math.max(FIRST_GAP, 1.5 * this.#roundTrip)
    const interested = this.#watched || (this.#usedAt !== undefined && elapsed(this.#usedAt, now) < 2 * WATCH_SPAN)
    const brisk = interested || elapsed(check.startedAt, now) < BRISK
    const cap = Math.max(first, brisk ? LONGEST_GAP : RAREST_GAP)
    const grown = brisk ? first * 1.5 ** Math.max(0, check.tries - 3) : elapsed(check.startedAt, now) / 4
    return milliseconds(Math.min(cap, grown) * (1 - this.#dice() / 10))
  }

  /** Whether the tries so far make a verdict. */
  #judge(check: Check, now: Instant): void {
    if (check.smallAt !== undefined && check.full && check.fullAt === undefined && check.fullTries >= FULL_TRIES) {
      this.#say('small-packets-only', 'small probes came back, full-size ones did not', now)
      if (!check.holeTold) this.#outputs.push({ kind: 'black-hole' })
      check.holeTold = true
      this.#outputs.push({ kind: 'trouble', state: 'small-packets-only' })
      return
    }
    if (check.smallAt !== undefined || check.tries < SMALL_TRIES) return
    const patience = Math.max(VERDICT_AFTER, 4 * this.#roundTrip)
    if (elapsed(check.startedAt, now) < patience) return
    const recent = (at: Instant | undefined): boolean =>
      at !== undefined && at > check.startedAt && elapsed(at, now) <= 2 * patience
    if (!this.#probesCount && recent(this.#dataAt)) this.#trustData(now)
    else if (recent(this.#dataAt) || recent(this.#authenticAt))
      this.#fail('one-way', 'the broker is heard, but answers no probe of ours', now)
    else if (recent(this.#answeredAt))
      this.#fail('control-only', 'questions or handshakes are answered, probes through the tunnel are not', now)
    else this.#fail('down', 'neither probes nor questions are answered', now)
  }

  #fail(state: PathState, evidence: string, now: Instant): void {
    this.#say(state, evidence, now)
    this.#outputs.push({ kind: 'trouble', state })
  }

  #trustData(now: Instant): void {
    if (this.#check !== undefined) this.#pass(this.#check, 'data comes', now)
  }

  #pass(check: Check, evidence: string, now: Instant): void {
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
