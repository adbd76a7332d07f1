/**
 * Which of several ways to one end is used. A way counts only after a probe of ours through it was answered through it, under the
 * association's keys; it is left when it falls silent. The relay needs no proof and is always kept at hand: leaving it is a gain that
 * has to be shown, going back to it is a rescue.
 *
 *   candidate --probe answered--> proven --better than the one in use--> in use --silent--> held back --proven again, later--> proven
 */
import type { Deadline, Machine } from '#shared/machine.ts'
import { after, type Duration, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { copyEndpoint, type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { CandidateKind } from './candidate.ts'

export type PathInput =
  /** A probe shall go there now: by the hole punch, or because the other end spoke from there. */
  | { kind: 'try'; endpoint: Endpoint; as: CandidateKind }
  /** A probe with this number came back from `from`. */
  | { kind: 'answer'; id: number; from: Endpoint }
  /** Anything authentic came from there. */
  | { kind: 'heard'; from: Endpoint }
  /** Something of the user's was sent through the way in use. */
  | { kind: 'sent' }
  /** Whether the hub carries datagrams. */
  | { kind: 'relay'; up: boolean }
  /** The network of this end changed: every direct way has to prove itself anew. */
  | { kind: 'moved' }
  /** Nothing but the relay is wished for. */
  | { kind: 'relay-only' }
  | { kind: 'time' }

export type PathOutput = { kind: 'probe'; id: number; to: Endpoint } | { kind: 'use'; path: Path; why: PathReason }

export type PathReason = 'first' | 'proven' | 'better' | 'silent' | 'relay-lost' | 'wished'

export interface Path {
  readonly kind: CandidateKind
  readonly endpoint: Endpoint
  /** Smoothed round trip of its probes; undefined: none was answered. */
  readonly roundTrip: Duration | undefined
  readonly lastAnswer: Instant | undefined
}

export interface PathChoiceOptions {
  /** The way through the hub. */
  readonly relay: Endpoint
  /** Whether this end holds the way open while nothing is said: the operator does, the device only answers. */
  readonly holdsOpen: boolean
}

/** While data flows, the way in use is asked so often. */
const ASK_ACTIVE = seconds(1)
/** Data flowed within: active. */
const ACTIVE_FOR = seconds(3)
/** While none does: below the 30 s after which the hastiest NATs forget. */
const ASK_IDLE = seconds(15)
/** An unanswered probe is repeated after this, or after thrice the round trip; later ones take longer, since queues do. */
const ASK_AGAIN = milliseconds(250)
/** Unanswered probes in a row that end a way from which nothing else comes; and one from which other things come. */
const SILENT_AFTER = 4
const ONE_WAY_AFTER = 8
/** A way that fell silent is believed again only after this, doubled each time up to the cap, and after so many answers. */
const HOLD_BACK = seconds(2)
const HOLD_BACK_CAP = seconds(60)
const ANSWERS_AFTER_SILENCE = 2
/** In use for so long without a fault, a way's past is forgotten. */
const FORGIVEN_AFTER = seconds(60)
/** A way of the same rank must be faster than the one in use by this factor and by this much. */
const FASTER_FACTOR = 0.7
const FASTER_BY = milliseconds(10)
/** Ways remembered; the oldest unproven one gives way. */
const PATH_LIMIT = 24
/** Probes under way of one path. */
const PROBE_LIMIT = 16
/** How old an answer may be for a way to be chosen without asking it anew. */
const FRESH = seconds(30)

class Way implements Path {
  kind: CandidateKind
  readonly endpoint: Endpoint
  roundTrip: Duration | undefined
  lastAnswer: Instant | undefined
  lastHeard: Instant | undefined
  /** Probes under way: number and moment of sending. */
  readonly asked = new Map<number, Instant>()
  lastAsked: Instant | undefined
  unanswered = 0
  /** Consecutive answers since it last fell silent. */
  answers = 0
  silences = 0
  heldUntil: Instant | undefined

  constructor(kind: CandidateKind, endpoint: Endpoint) {
    this.kind = kind
    this.endpoint = copyEndpoint(endpoint)
  }
}

export class PathChoice implements Machine<PathInput, PathOutput> {
  readonly #options: PathChoiceOptions
  readonly #outputs: PathOutput[] = []
  readonly #relay: Way
  #ways: Way[] = []
  #used: Way
  #usedSince: Instant | undefined
  #relayUp = true
  #sentAt: Instant | undefined
  #id: number

  /** `firstId`: where the numbers of probes begin, a random 31-bit number. */
  constructor(options: PathChoiceOptions, firstId: number) {
    this.#options = options
    this.#relay = new Way('overlay', options.relay)
    this.#used = this.#relay
    this.#id = firstId
  }

  /** The way in use. */
  get used(): Path {
    return this.#used
  }

  get isDirect(): boolean {
    return this.#used !== this.#relay
  }

  /** All ways that were tried, for `status`. */
  get paths(): readonly Path[] {
    return [this.#relay, ...this.#ways]
  }

  /** Whether the relay has been asked in vain, and nothing else stands in for it: the other end has forgotten us, or is gone. */
  get isLost(): boolean {
    const { unanswered, lastHeard } = this.#relay
    // Where data fills the queues answers are late; what comes all the same is of a peer who has forgotten nothing.
    const isHeard = lastHeard !== undefined && lastHeard > this.#firstUnanswered(this.#relay)
    return !this.isDirect && unanswered >= ONE_WAY_AFTER && !isHeard
  }

  /** Whether further probes there would tell nothing new. */
  isProven(endpoint: Endpoint, now: Instant): boolean {
    const way = this.#find(endpoint)
    return way?.lastAnswer !== undefined && !isHeldBack(way, now)
  }

  handle(input: PathInput, now: Instant): void {
    switch (input.kind) {
      case 'try':
        this.#ask(this.#wayTo(input.endpoint, input.as), now)
        break
      case 'answer':
        this.#answered(input.id, input.from, now)
        break
      case 'heard': {
        const way = this.#find(input.from)
        if (way) way.lastHeard = now
        break
      }
      case 'sent':
        this.#sentAt = now
        break
      case 'relay':
        this.#relayUp = input.up
        if (!input.up) this.#leaveRelay(now)
        break
      case 'relay-only':
        this.#use(this.#relay, 'wished', now)
        this.#ways = []
        break
      case 'moved':
        for (const way of this.#ways) {
          way.lastAnswer = undefined
          way.unanswered = SILENT_AFTER
        }
        break
    }
    this.#step(now)
  }

  poll(): PathOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    const next = this.#nextAsk(this.#used)
    return next === undefined ? undefined : { at: next, why: 'probe of the path in use' }
  }

  #step(now: Instant): void {
    const used = this.#used
    if (used !== this.#relay && this.#isSilent(used)) this.#fell(used, now)
    const next = this.#nextAsk(this.#used)
    if (next !== undefined && now >= next) this.#ask(this.#used, now)
    if (this.#usedSince !== undefined && elapsed(this.#usedSince, now) >= FORGIVEN_AFTER) this.#used.silences = 0
  }

  /** When the way in use has to be asked (again); undefined where there is no need. */
  #nextAsk(way: Way): Instant | undefined {
    if (way === this.#relay && !this.#relayUp) return undefined
    if (way.unanswered > 0 && way.lastAsked !== undefined && way.unanswered < ONE_WAY_AFTER)
      return after(way.lastAsked, milliseconds(Math.max(ASK_AGAIN, 3 * (way.roundTrip ?? 0)) * (1 + way.unanswered / 4)))
    const from = way.lastAsked
    const active = this.#sentAt
    if (active !== undefined && (from === undefined || from < after(active, ACTIVE_FOR)))
      return from === undefined ? active : laterOf(after(from, ASK_ACTIVE), active)
    if (!this.#options.holdsOpen) return undefined
    return from === undefined ? undefined : after(from, ASK_IDLE)
  }

  #ask(way: Way, now: Instant): void {
    this.#id = (this.#id + 1) & 0x7fff_ffff
    if (way.asked.size >= PROBE_LIMIT) way.asked.delete(way.asked.keys().next().value!)
    way.asked.set(this.#id, now)
    way.lastAsked = now
    way.unanswered++
    this.#outputs.push({ kind: 'probe', id: this.#id, to: way.endpoint })
  }

  #answered(id: number, from: Endpoint, now: Instant): void {
    const way = this.#find(from)
    const askedAt = way?.asked.get(id)
    // An answer that came by another way proves nothing of the one that was asked.
    if (way === undefined || askedAt === undefined) return
    for (const older of [...way.asked.keys()]) if (way.asked.get(older)! <= askedAt) way.asked.delete(older)
    const sample = elapsed(askedAt, now)
    way.roundTrip = milliseconds(way.roundTrip === undefined ? sample : 0.8 * way.roundTrip + 0.2 * sample)
    way.lastAnswer = way.lastHeard = now
    way.unanswered = 0
    way.answers++
    if (way !== this.#used && this.#mayReplace(way, now)) this.#use(way, this.#used === this.#relay ? 'proven' : 'better', now)
  }

  #mayReplace(way: Way, now: Instant): boolean {
    if (way === this.#relay) return false
    if (isHeldBack(way, now)) return false
    const used = this.#used
    if (used === this.#relay) return !this.#relayUp || !isFarSlower(way, used)
    const [rank, usedRank] = [rankOf(way.kind), rankOf(used.kind)]
    const [trip, usedTrip] = [way.roundTrip ?? Infinity, used.roundTrip ?? Infinity]
    if (rank > usedRank) return trip <= usedTrip + FASTER_BY
    return trip < usedTrip * FASTER_FACTOR && trip < usedTrip - FASTER_BY
  }

  #isSilent(way: Way): boolean {
    const limit = way.lastHeard !== undefined && way.lastHeard > this.#firstUnanswered(way) ? ONE_WAY_AFTER : SILENT_AFTER
    return way.unanswered >= limit
  }

  #firstUnanswered(way: Way): Instant {
    return (way.asked.values().next().value ?? way.lastAsked ?? 0) as Instant
  }

  #fell(way: Way, now: Instant): void {
    way.silences++
    way.answers = 0
    way.lastAnswer = undefined
    way.heldUntil = after(now, milliseconds(Math.min(HOLD_BACK * 2 ** (way.silences - 1), HOLD_BACK_CAP)))
    const other = this.#bestOther(way, now)
    this.#use(other ?? this.#relay, 'silent', now)
    this.#ask(this.#used, now)
  }

  #leaveRelay(now: Instant): void {
    if (this.#used !== this.#relay) return
    const other = this.#bestOther(this.#relay, now)
    if (other) this.#use(other, 'relay-lost', now)
  }

  /** Of the ways that have answered of late, the best. */
  #bestOther(but: Way, now: Instant): Way | undefined {
    return this.#ways
      .filter((way) => way !== but && way.lastAnswer !== undefined && elapsed(way.lastAnswer, now) < FRESH)
      .sort((a, b) => rankOf(b.kind) - rankOf(a.kind) || (a.roundTrip ?? 0) - (b.roundTrip ?? 0))[0]
  }

  #use(way: Way, why: PathReason, now: Instant): void {
    if (way === this.#used) return
    this.#used = way
    this.#usedSince = now
    this.#outputs.push({ kind: 'use', path: way, why })
  }

  #wayTo(endpoint: Endpoint, kind: CandidateKind): Way {
    const known = this.#find(endpoint)
    if (known) {
      // What the other end named itself is known better than what only its packets showed.
      if (known.kind === 'peer-reflexive') known.kind = kind
      return known
    }
    if (this.#ways.length >= PATH_LIMIT) {
      const victim =
        this.#ways.find((way) => way !== this.#used && way.lastAnswer === undefined) ??
        this.#ways.find((way) => way !== this.#used)
      this.#ways = this.#ways.filter((way) => way !== victim)
    }
    const way = new Way(kind, endpoint)
    this.#ways.push(way)
    return way
  }

  #find(endpoint: Endpoint): Way | undefined {
    if (sameEndpoint(this.#used.endpoint, endpoint)) return this.#used
    if (sameEndpoint(this.#relay.endpoint, endpoint)) return this.#relay
    return this.#ways.find((way) => sameEndpoint(way.endpoint, endpoint))
  }
}

const isHeldBack = (way: Way, now: Instant): boolean =>
  way.heldUntil !== undefined && (now < way.heldUntil || way.answers < ANSWERS_AFTER_SILENCE)

/** A direct way is worth a little delay: it costs the hub nothing and needs no broker. */
const isFarSlower = (way: Way, relay: Way): boolean =>
  relay.roundTrip !== undefined && (way.roundTrip ?? Infinity) > 2 * relay.roundTrip + 50

const rankOf = (kind: CandidateKind): number => (kind === 'host' ? 2 : kind === 'overlay' ? 0 : 1)

const laterOf = (a: Instant, b: Instant): Instant => (a > b ? a : b)
