/**
 * Which of several ways to one end is used. A way counts only after a probe of ours through it was answered through it, under the
 * association's keys; it is left when it falls silent. The relay needs no proof and is always kept at hand: leaving it is a gain that
 * has to be shown, going back to it is a rescue.
 *
 *   candidate --full probe answered--> proven --better than the one in use--> in use --silent, too small--> held back --again--> proven
 *
 * Probes are small, to open NATs and to tell life from silence, or full: as long as the longest datagram of the association, both ways,
 * since a network that carries only small ones says nothing about the others (RFC 4821 §1). The relay cares for its own sizes.
 */
import { type Deadline, type Machine, soonest } from '#shared/machine.ts'
import { elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { CandidateKind } from './candidate.ts'
import { ONE_WAY_AFTER, PathAsking, SILENT_AFTER } from './path-asking.ts'
import { type Path, PathWay } from './path-way.ts'

export type PathInput =
  /** A probe shall go there now: by the hole punch, or because the other end spoke from there, at full length or not (`heard`). */
  | { kind: 'try'; endpoint: Endpoint; as: CandidateKind; heard?: 'small' | 'full' }
  /** A probe with this number came back from `from`; `full`: at full length. */
  | { kind: 'answer'; id: number; from: Endpoint; full: boolean }
  /** Anything authentic came from there; `isUsers`: a packet of the user's. */
  | { kind: 'heard'; from: Endpoint; isUsers: boolean }
  /** Something of the user's was sent through the way in use; `isLarge`: longer than what any path carries. */
  | { kind: 'sent'; isLarge: boolean }
  /** Whether the hub carries datagrams. */
  | { kind: 'relay'; up: boolean }
  /** The network of this end changed: every direct way has to prove itself anew. */
  | { kind: 'moved' }
  /** Nothing but the relay is wished for. */
  | { kind: 'relay-only' }
  | { kind: 'time' }

export type PathOutput = { kind: 'probe'; id: number; to: Endpoint; full: boolean } | { kind: 'use'; path: Path; why: PathReason }

export type PathReason = 'first' | 'proven' | 'better' | 'silent' | 'too-small' | 'relay-lost' | 'wished'

export interface PathChoiceOptions {
  /** The way through the hub. */
  readonly relay: Endpoint
  /** Whether this end holds the way open while nothing is said: the operator does, the device only answers. */
  readonly holdsOpen: boolean
}

/** In use for so long without a fault, a way's past is forgotten. */
const FORGIVEN_AFTER = seconds(60)
/** A way of the same rank must be faster than the one in use by this factor and by this much. */
const FASTER_FACTOR = 0.7
const FASTER_BY = milliseconds(10)
/** Ways remembered; the oldest unproven one gives way. */
const PATH_LIMIT = 24
/** Probes under way of one path. */
const PROBE_LIMIT = 16

/** Full probes to places that the other end named, from which no answer has come yet: a first punch takes no round trip more. 21 KB. */
const EARLY_LIMIT = 16
/** Full probes to others that are not in use: so many at once, and one more in each such time. */
const FULL_LIMIT = 16
const FULL_EVERY = seconds(10)
/** Between two full probes to one place. */
const FULL_SPACING = milliseconds(50)
/** Unanswered full probes in a row that end a way which answers small ones. */
const SMALL_AFTER = 6
/** Unanswered full probes, and the age of the last small answer, of a way of which people are told that it carries small packets alone. */
const SMALL_SHOWN_AFTER = 3
const SMALL_SHOWN_FOR = seconds(120)

export class PathChoice implements Machine<PathInput, PathOutput> {
  readonly #outputs: PathOutput[] = []
  readonly #relay: PathWay
  readonly #asking: PathAsking
  #ways: PathWay[] = []
  #used: PathWay
  #usedSince: Instant | undefined
  #relayUp = true
  #early = EARLY_LIMIT
  readonly #fulls = new TokenBucket(1_000 / FULL_EVERY, FULL_LIMIT)
  #id: number

  /** `firstId`: where the numbers of probes begin, a random 31-bit number. */
  constructor(options: PathChoiceOptions, firstId: number) {
    this.#relay = new PathWay('overlay', options.relay)
    this.#asking = new PathAsking(options.holdsOpen)
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
    // Where data fills the queues answers are late; what comes all the same is of a peer who has forgotten nothing.
    return !this.isDirect && this.#relay.unanswered >= ONE_WAY_AFTER && !this.#relay.isHeardSinceAsked
  }

  /** Whether further probes there would tell nothing new. */
  isProven(endpoint: Endpoint, now: Instant): boolean {
    const way = this.#find(endpoint)
    return way?.lastAnswer !== undefined && way.lastFullAnswer !== undefined && !way.isHeldBack(now)
  }

  /** Whether a direct way answers of late, though none that carries the longest datagrams. */
  isOnlySmall(now: Instant): boolean {
    const answers = ({ lastAnswer }: PathWay): boolean => lastAnswer !== undefined && elapsed(lastAnswer, now) < SMALL_SHOWN_FOR
    const isSmall = (way: PathWay): boolean => way.lastFullAnswer === undefined && way.unansweredFull >= SMALL_SHOWN_AFTER
    return !this.isDirect && this.#ways.some((way) => answers(way) && isSmall(way))
  }

  handle(input: PathInput, now: Instant): void {
    switch (input.kind) {
      case 'try':
        this.#try(this.#wayTo(input.endpoint, input.as), input.heard, now)
        break
      case 'answer':
        this.#answered(input, now)
        break
      case 'heard': {
        const way = this.#find(input.from)
        if (way) this.#heard(way, now)
        if (input.isUsers) this.#asking.heardUser(way === this.#relay)
        break
      }
      case 'sent':
        this.#asking.sent(this.#used, input.isLarge, now)
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
        this.#early = EARLY_LIMIT
        for (const way of this.#ways) {
          way.lastAnswer = way.lastFullAnswer = undefined
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
    const [small, full] = [this.#nextAsk, this.#nextFull]
    return soonest(
      small === undefined ? undefined : { at: small, why: 'probe of the path in use' },
      full === undefined ? undefined : { at: full, why: 'full probe of the path in use' },
    )
  }

  #step(now: Instant): void {
    const used = this.#used
    if (used !== this.#relay && this.#asking.isSilent(used)) this.#fell(used, 'silent', now)
    else if (used !== this.#relay && used.unansweredFull >= SMALL_AFTER && isOver(this.#nextFull, now))
      this.#fell(used, 'too-small', now)
    if (this.#usedSince !== undefined && elapsed(this.#usedSince, now) >= FORGIVEN_AFTER) this.#used.silences = 0
    if (isOver(this.#nextAsk, now)) this.#ask(this.#used, now)
    if (!isOver(this.#nextFull, now)) return
    // Whether it is too small or dead its small answers say.
    if (this.#used.unansweredFull > 0 && this.#used.unanswered === 0) this.#ask(this.#used, now)
    this.#askFull(this.#used, now)
  }

  get #nextAsk(): Instant | undefined {
    return this.#asking.next(this.#used, this.#relayUp)
  }

  get #nextFull(): Instant | undefined {
    return this.#asking.nextFull(this.#used)
  }

  #heard(way: PathWay, now: Instant): void {
    way.lastHeard = now
    if (way === this.#used) this.#asking.heard()
  }

  /**
   * Whoever brings a lost datagram of the other end's from elsewhere is asked in kind (P-12): nothing longer goes to a place that nobody
   * has named, before it answers.
   */
  #try(way: PathWay, heard: 'small' | 'full' | undefined, now: Instant): void {
    if (heard === 'full' && way !== this.#relay && this.#tryFull(way, now)) return
    this.#ask(way, now)
    if (way === this.#relay) return
    if (way.lastAnswer !== undefined) this.#tryFull(way, now)
    else if (heard === undefined && way.kind !== 'peer-reflexive' && this.#early > 0 && this.#wantsFull(way, now)) {
      this.#early--
      this.#askFull(way, now)
    }
  }

  #tryFull(way: PathWay, now: Instant): boolean {
    if (!this.#wantsFull(way, now) || !this.#fulls.take(now)) return false
    this.#askFull(way, now)
    return true
  }

  #wantsFull(way: PathWay, now: Instant): boolean {
    const { lastAskedFull } = way
    return !way.isFullyFresh(now) && (lastAskedFull === undefined || elapsed(lastAskedFull, now) >= FULL_SPACING)
  }

  #ask(way: PathWay, now: Instant): void {
    way.lastAsked = now
    way.unanswered++
    this.#probe(way, way.asked, now)
  }

  #askFull(way: PathWay, now: Instant): void {
    way.lastAskedFull = now
    way.unansweredFull++
    this.#probe(way, way.askedFull, now)
  }

  #probe(way: PathWay, asked: Map<number, Instant>, now: Instant): void {
    this.#id = (this.#id + 1) & 0x7fff_ffff
    if (asked.size >= PROBE_LIMIT) asked.delete(asked.keys().next().value!)
    asked.set(this.#id, now)
    this.#outputs.push({ kind: 'probe', id: this.#id, to: way.endpoint, full: asked === way.askedFull })
  }

  #answered({ id, from, full }: Extract<PathInput, { kind: 'answer' }>, now: Instant): void {
    const way = this.#find(from)
    const asked = full ? way?.askedFull : way?.asked
    const askedAt = asked?.get(id)
    // An answer that came by another way, or shorter than what was asked, proves nothing of the one that was asked.
    if (way === undefined || asked === undefined || askedAt === undefined) return
    forgetUntil(asked, askedAt)
    const sample = elapsed(askedAt, now)
    // Full ones wait longer at slow links: what people feel is the small ones' time.
    if (!full || way.roundTrip === undefined)
      way.roundTrip = milliseconds(way.roundTrip === undefined ? sample : 0.8 * way.roundTrip + 0.2 * sample)
    way.lastAnswer = now
    this.#heard(way, now)
    way.unanswered = 0
    if (full) {
      forgetUntil(way.asked, askedAt)
      way.lastFullAnswer = now
      way.unansweredFull = 0
    } else {
      way.answers++
      if (way !== this.#relay && way !== this.#used) this.#tryFull(way, now)
    }
    if (way !== this.#used && this.#mayReplace(way, now)) this.#use(way, this.#used === this.#relay ? 'proven' : 'better', now)
  }

  #mayReplace(way: PathWay, now: Instant): boolean {
    if (way === this.#relay || !way.isFullyFresh(now)) return false
    if (way.isHeldBack(now)) return false
    const used = this.#used
    if (used === this.#relay) return !this.#relayUp || !way.isFarSlower(used)
    const [rank, usedRank] = [way.rank, used.rank]
    const [trip, usedTrip] = [way.roundTrip ?? Infinity, used.roundTrip ?? Infinity]
    if (rank > usedRank) return trip <= usedTrip + FASTER_BY
    return trip < usedTrip * FASTER_FACTOR && trip < usedTrip - FASTER_BY
  }

  #fell(way: PathWay, why: 'silent' | 'too-small', now: Instant): void {
    way.holdBack(now)
    if (why === 'silent') way.lastAnswer = undefined
    const other = this.#bestOther(way, now)
    this.#use(other ?? this.#relay, why, now)
    this.#ask(this.#used, now)
  }

  #leaveRelay(now: Instant): void {
    if (this.#used !== this.#relay) return
    const other = this.#bestOther(this.#relay, now)
    if (other) this.#use(other, 'relay-lost', now)
  }

  /** Of the ways that have answered of late, the best. */
  #bestOther(but: PathWay, now: Instant): PathWay | undefined {
    return this.#ways
      .filter((way) => way !== but && way.isFresh(now))
      .sort((a, b) => b.rank - a.rank || (a.roundTrip ?? 0) - (b.roundTrip ?? 0))[0]
  }

  #use(way: PathWay, why: PathReason, now: Instant): void {
    if (way === this.#used) return
    this.#used = way
    this.#usedSince = now
    this.#asking.heard()
    this.#outputs.push({ kind: 'use', path: way, why })
  }

  #wayTo(endpoint: Endpoint, kind: CandidateKind): PathWay {
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
    const way = new PathWay(kind, endpoint)
    this.#ways.push(way)
    return way
  }

  #find(endpoint: Endpoint): PathWay | undefined {
    if (sameEndpoint(this.#used.endpoint, endpoint)) return this.#used
    if (sameEndpoint(this.#relay.endpoint, endpoint)) return this.#relay
    return this.#ways.find((way) => sameEndpoint(way.endpoint, endpoint))
  }
}

/** Answers to probes of before this moment would tell nothing new. */
function forgetUntil(asked: Map<number, Instant>, until: Instant): void {
  for (const [id, at] of asked) if (at <= until) asked.delete(id)
}

const isOver = (due: Instant | undefined, now: Instant): boolean => due !== undefined && now >= due
