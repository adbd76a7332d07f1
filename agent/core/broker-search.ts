import type { Suite } from '#shared/crypto/suite.ts'
import { after, type Duration, elapsed, type Instant, instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'
import { searchOrder } from './search-order.ts'

/**
 * How long one endpoint is tried before the next one's turn, in the first pass through the list, the second and the later ones. An
 * association hears answers to its older handshakes too, so that a short turn costs little.
 */
const TRY_SPANS: readonly Duration[] = [milliseconds(1_500), seconds(4), seconds(8)]
/** Whose answer to a question came while its handshake is under way has so long: at 30 % loss each way, 8 tries in a row fail once in 200. */
const PRESENT_SPAN: Duration = seconds(7)
/** A way that must be opened first has so long. */
const CARRIED_SPAN: Duration = seconds(3)
/** The other addresses are asked by STUN so long after the first handshake (RFC 8305 §5), and then in this rhythm. */
const ASK_AFTER: Duration = milliseconds(250)
const ASK_EVERY: Duration = seconds(1)
/** A round lasts at least so long, and long enough to try each endpoint once. Within it the agent does not rest. */
const ROUND_SPAN = seconds(30)
const FIRST_REST = seconds(4)
/** With the 5 s that the last initiation of a round lies back: never silent for more than a minute. */
const LONGEST_REST = seconds(55)
/** Unanswered for so long, an agent asks the API for the last timestamp that the broker took (DESIGN D5). */
export const ASK_TIMESTAMP_AFTER = seconds(60)

export type SearchStep =
  /** Begin, or go on, with handshakes towards this endpoint. */
  | { kind: 'try'; endpoint: Endpoint }
  /** Ask it by STUN whether it is there: one that answers has its turn at once. */
  | { kind: 'ask'; endpoint: Endpoint }
  /** Stop asking until the next step: the round is over. */
  | { kind: 'rest'; until: Instant }
  /** Nobody has answered for a minute: is our clock behind the timestamp that the broker remembers? */
  | { kind: 'ask-timestamp'; since: Duration }

interface Round {
  readonly from: Instant
  /** Turns taken, and where in the order the last one was. */
  tried: number
  turn: number
  nextTry: Instant
  nextAsk: Instant
  /** Endpoints to be asked before the next pause. */
  asking: Endpoint[]
  /** Endpoints that have answered questions in this round. */
  readonly present: Endpoint[]
}

type Phase = { kind: 'idle' } | { kind: 'trying'; round: Round } | { kind: 'resting'; next: Instant }

/**
 * Looks for the broker among UDP addresses and ways that carry datagrams otherwise: the last good address first, the other ways after a
 * head start for UDP (DESIGN D8), every UDP address asked by STUN beside it (in the manner of RFC 8305, so that a broken IPv4 or IPv6
 * costs little), in rounds with jittered rests between them that grow to 60 s. It never gives up.
 *
 *   idle --begin--> trying --round over--> resting --rested--> trying …        found: any -> idle
 */
export class BrokerSearch {
  readonly #suite: Suite
  #endpoints: readonly Endpoint[] = []
  /** The order of turns, and those that come last in it since they did not carry data. */
  #order: readonly Endpoint[] = []
  #demoted: Endpoint[] = []
  #rest: Duration = FIRST_REST
  #phase: Phase = { kind: 'idle' }
  #askedAt: Instant | undefined
  #since: Instant | undefined

  constructor(suite: Suite) {
    this.#suite = suite
  }

  get searching(): boolean {
    return this.#phase.kind !== 'idle'
  }

  get resting(): boolean {
    return this.#phase.kind === 'resting'
  }

  /** The broker's endpoints, the last good one first. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints
  }

  /** Where the next search begins. */
  get first(): Endpoint | undefined {
    return this.#order[0]
  }

  /** Whose turn it is. */
  get current(): Endpoint | undefined {
    return this.#phase.kind === 'trying' ? this.#order[this.#phase.round.turn] : undefined
  }

  /** Where the broker may be; `preferred` is tried first. The search goes on where it was as far as the list still has it. */
  setEndpoints(endpoints: readonly Endpoint[], preferred?: Endpoint): void {
    const first = endpoints.filter((e) => sameEndpoint(e, preferred))
    this.#endpoints = [...first, ...endpoints.filter((e) => !sameEndpoint(e, preferred))]
    this.#demoted = this.#demoted.filter((endpoint) => this.#endpoints.some((e) => sameEndpoint(e, endpoint)))
    this.#arrange()
  }

  /** Starts searching now, without a rest. Harmless while a round runs; it cuts a rest short. */
  begin(now: Instant): void {
    if (this.#phase.kind === 'trying') return
    this.#since ??= now
    this.#phase = { kind: 'trying', round: newRound(now) }
  }

  /** Handshakes work there and data does not, or not any more: every other endpoint has its turn before it. */
  demote(endpoint: Endpoint): void {
    if (this.#endpoints.length < 2 || !this.#endpoints.some((e) => sameEndpoint(e, endpoint))) return
    this.#demoted = [...this.#demoted.filter((e) => !sameEndpoint(e, endpoint)), endpoint]
    if (this.#demoted.length >= this.#endpoints.length) this.#demoted = [endpoint]
    this.#arrange()
  }

  /** Whether an authentic packet from there ends the search: not from an endpoint that was left, until its turn comes again. */
  accepts(endpoint: Endpoint): boolean {
    if (this.#phase.kind !== 'trying' || !this.#isDemoted(endpoint)) return true
    return sameEndpoint(this.current, endpoint)
  }

  /** A new network: what did not work in the last one may work here. */
  forgive(): void {
    this.#demoted = []
    this.#arrange()
  }

  /** The broker answered from `endpoint`, which becomes the first of the list. */
  found(endpoint: Endpoint): void {
    this.stop()
    this.#rest = FIRST_REST
    this.setEndpoints(this.#endpoints, endpoint)
  }

  /** `endpoint` answered a question. It has its turn at once, unless another one that answered has it. */
  answered(endpoint: Endpoint, now: Instant): void {
    if (this.#phase.kind !== 'trying') return
    const { round } = this.#phase
    const isPresent = (one: Endpoint | undefined): boolean => round.present.some((e) => sameEndpoint(e, one))
    const isCurrentPresent = isPresent(this.#order[round.turn])
    // Once a round: who answers questions and no handshake must not keep the others from their turns.
    if (isPresent(endpoint)) return
    round.present.push(endpoint)
    if (isCurrentPresent || this.#isDemoted(endpoint)) return
    const at = this.#order.findIndex((e) => sameEndpoint(e, endpoint))
    if (at < 0) return
    if (at === round.turn && round.tried > 0) {
      // Its handshake is under way: the answer to that is near.
      round.nextTry = after(now, PRESENT_SPAN)
      return
    }
    round.turn = at - 1
    round.nextTry = now
  }

  stop(): void {
    this.#phase = { kind: 'idle' }
    this.#since = undefined
    this.#askedAt = undefined
  }

  deadline(): Instant | undefined {
    if (this.#phase.kind === 'idle' || this.#order.length === 0) return undefined
    const { round } = this.#phase.kind === 'trying' ? this.#phase : { round: undefined }
    const next = round === undefined ? (this.#phase as { next: Instant }).next : this.#nextOf(round)
    const ask = this.#askAt()
    return ask !== undefined && ask < next ? ask : next
  }

  /** What is due at `now`; call until undefined. */
  step(now: Instant): SearchStep | undefined {
    if (this.#phase.kind === 'idle' || this.#order.length === 0) return undefined
    const ask = this.#askAt()
    if (ask !== undefined && now >= ask && this.#since !== undefined) {
      this.#askedAt = now
      return { kind: 'ask-timestamp', since: elapsed(this.#since, now) }
    }
    if (this.#phase.kind === 'resting') {
      if (now < this.#phase.next) return undefined
      this.#phase = { kind: 'trying', round: newRound(now) }
    }
    const { round } = this.#phase
    if (now >= round.nextTry) return this.#try(now, round)
    return this.#ask(now, round)
  }

  #isDemoted(endpoint: Endpoint): boolean {
    return this.#demoted.some((e) => sameEndpoint(e, endpoint))
  }

  #try(now: Instant, round: Round): SearchStep {
    const triedAll = round.tried >= this.#order.length
    if (triedAll && elapsed(round.from, now) >= ROUND_SPAN) {
      const until = after(now, this.#nextRest())
      this.#phase = { kind: 'resting', next: until }
      return { kind: 'rest', until }
    }
    round.turn = (round.turn + 1) % this.#order.length
    const endpoint = this.#order[round.turn]!
    const pass = Math.min(Math.floor(round.tried / this.#order.length), TRY_SPANS.length - 1)
    const span = Math.max(TRY_SPANS[pass]!, isCarried(endpoint) ? CARRIED_SPAN : 0)
    round.tried++
    round.nextTry = after(now, milliseconds(span))
    return { kind: 'try', endpoint }
  }

  #ask(now: Instant, round: Round): SearchStep | undefined {
    if (now >= round.nextAsk) {
      round.nextAsk = after(now, ASK_EVERY)
      round.asking = this.#asked()
    }
    const endpoint = round.asking.shift()
    return endpoint && { kind: 'ask', endpoint }
  }

  /** With one endpoint there is nothing to choose. */
  #asked(): Endpoint[] {
    return this.#order.length < 2 ? [] : this.#order.filter((endpoint) => !isCarried(endpoint))
  }

  #nextOf({ nextTry, nextAsk }: Round): Instant {
    return this.#asked().length === 0 ? nextTry : instant(Math.min(nextTry, nextAsk))
  }

  #arrange(): void {
    const current = this.#phase.kind === 'trying' ? this.#order[this.#phase.round.turn] : undefined
    this.#order = searchOrder(this.#endpoints, this.#demoted)
    if (this.#phase.kind !== 'trying') return
    const { round } = this.#phase
    const at = round.tried === 0 ? -1 : this.#order.findIndex((endpoint) => sameEndpoint(endpoint, current))
    round.turn = at
    // Whose turn it was is gone: the first one's comes now.
    if (at < 0) round.nextTry = round.from
  }

  /** The first question after a minute without answer, the next ones with the rests in between growing alike. */
  #askAt(): Instant | undefined {
    if (this.#since === undefined) return undefined
    const from = this.#askedAt ?? this.#since
    return after(from, this.#askedAt === undefined ? ASK_TIMESTAMP_AFTER : milliseconds(2 * ASK_TIMESTAMP_AFTER))
  }

  /** Half to whole of a span that doubles up to the cap, so that a fleet that lost its broker at once does not return at once. */
  #nextRest(): Duration {
    const span = this.#rest
    this.#rest = milliseconds(Math.min(span * 2, LONGEST_REST))
    return milliseconds(span * (0.5 + this.#suite.random(1)[0]! / 510))
  }
}

const newRound = (now: Instant): Round => ({
  from: now,
  tried: 0,
  turn: -1,
  nextTry: now,
  nextAsk: after(now, ASK_AFTER),
  asking: [],
  present: [],
})
