import { after, type Duration, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { copyEndpoint, type Endpoint } from '#shared/wire/endpoint.ts'
import type { CandidateKind } from './candidate.ts'

export interface Path {
  readonly kind: CandidateKind
  readonly endpoint: Endpoint
  /** Smoothed round trip of its probes; undefined: none was answered. */
  readonly roundTrip: Duration | undefined
  readonly lastAnswer: Instant | undefined
}

/** A way that fell silent is believed again only after this, doubled each time up to the cap, and after so many answers. */
const HOLD_BACK = seconds(2)
const HOLD_BACK_CAP = seconds(60)
const ANSWERS_AFTER_SILENCE = 2
/** How old an answer may be for a way to be chosen without asking it anew. */
const FRESH = seconds(30)

/** One way to the other end: what was asked through it, what came back, and whether it is believed. PathChoice chooses among them. */
export class PathWay implements Path {
  kind: CandidateKind
  readonly endpoint: Endpoint
  roundTrip: Duration | undefined
  lastAnswer: Instant | undefined
  lastHeard: Instant | undefined
  /** Probes under way: number and moment of sending. */
  readonly asked = new Map<number, Instant>()
  lastAsked: Instant | undefined
  unanswered = 0
  /** The same of full ones. */
  readonly askedFull = new Map<number, Instant>()
  lastAskedFull: Instant | undefined
  lastFullAnswer: Instant | undefined
  unansweredFull = 0
  /** Consecutive answers since it last fell silent. */
  answers = 0
  silences = 0
  #heldUntil: Instant | undefined

  constructor(kind: CandidateKind, endpoint: Endpoint) {
    this.kind = kind
    this.endpoint = copyEndpoint(endpoint)
  }

  /** Not through the relay. */
  get isDirect(): boolean {
    return this.kind !== 'overlay'
  }

  /** Whether anything has come by it since the oldest of its unanswered probes. */
  get isHeardSinceAsked(): boolean {
    const first = this.asked.values().next().value ?? this.lastAsked ?? 0
    return this.lastHeard !== undefined && this.lastHeard > first
  }

  /** Places in the machine's own network first, the relay last. */
  get rank(): number {
    return this.kind === 'host' ? 2 : this.kind === 'overlay' ? 0 : 1
  }

  /** Whether a full probe has come back of late. */
  isFullyFresh(now: Instant): boolean {
    return isFresh(this.lastFullAnswer, now)
  }

  /** Whether probes of both lengths have. */
  isFresh(now: Instant): boolean {
    return isFresh(this.lastAnswer, now) && this.isFullyFresh(now)
  }

  isHeldBack(now: Instant): boolean {
    return this.#heldUntil !== undefined && (now < this.#heldUntil || this.answers < ANSWERS_AFTER_SILENCE)
  }

  /** A direct way is worth a little delay: it costs the hub nothing and needs no broker. */
  isFarSlower(relay: PathWay): boolean {
    return relay.roundTrip !== undefined && (this.roundTrip ?? Infinity) > 2 * relay.roundTrip + 50
  }

  /** It has failed while it was in use: what it has proven counts no more. */
  holdBack(now: Instant): void {
    this.silences++
    this.answers = 0
    this.lastFullAnswer = undefined
    this.#heldUntil = after(now, milliseconds(Math.min(HOLD_BACK * 2 ** (this.silences - 1), HOLD_BACK_CAP)))
  }
}

function isFresh(answer: Instant | undefined, now: Instant): boolean {
  return answer !== undefined && elapsed(answer, now) < FRESH
}
