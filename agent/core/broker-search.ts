import type { Suite } from '#shared/crypto/suite.ts'
import { after, type Duration, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, sameEndpoint } from '#shared/tunnel/association.ts'

/** How long one endpoint is tried before the next one's turn; the association retries within it (0.5 s, 1 s, 1 s, …). */
const TRY_SPAN = seconds(4)
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
  /** Stop asking until the next step: the round is over. */
  | { kind: 'rest'; until: Instant }
  /** Nobody has answered for a minute: is our clock behind the timestamp that the broker remembers? */
  | { kind: 'ask-timestamp'; since: Duration }

type Phase =
  | { kind: 'idle' }
  | { kind: 'trying'; roundFrom: Instant; tried: number; next: Instant }
  | { kind: 'resting'; next: Instant }

/**
 * Looks for the broker: each endpoint in turn, the last good one first, in rounds with jittered rests between them that grow to
 * 60 s. It never gives up.
 *
 *   idle --begin--> trying --round over--> resting --rested--> trying …        found: any -> idle
 */
export class BrokerSearch {
  readonly #suite: Suite
  #endpoints: readonly Endpoint[] = []
  #turn = 0
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

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints
  }

  /** Where the broker may be; `preferred` is tried first. The search goes on where it was as far as the list still has it. */
  setEndpoints(endpoints: readonly Endpoint[], preferred?: Endpoint): void {
    const current = this.#endpoints[this.#turn]
    const first = endpoints.filter((e) => sameEndpoint(e, preferred))
    this.#endpoints = [...first, ...endpoints.filter((e) => !sameEndpoint(e, preferred))]
    const kept = this.searching ? this.#endpoints.findIndex((e) => sameEndpoint(e, current)) : 0
    this.#turn = Math.max(kept, 0)
  }

  /** Starts searching now, without a rest. Harmless while a round runs; it cuts a rest short. */
  begin(now: Instant): void {
    if (this.#phase.kind === 'trying') return
    this.#since ??= now
    this.#phase = { kind: 'trying', roundFrom: now, tried: 0, next: now }
  }

  /** The broker answered from `endpoint`, which becomes the first of the list. */
  found(endpoint: Endpoint): void {
    this.#phase = { kind: 'idle' }
    this.#rest = FIRST_REST
    this.#since = undefined
    this.#askedAt = undefined
    this.setEndpoints(this.#endpoints, endpoint)
  }

  stop(): void {
    this.#phase = { kind: 'idle' }
    this.#since = undefined
    this.#askedAt = undefined
  }

  deadline(): Instant | undefined {
    if (this.#phase.kind === 'idle' || this.#endpoints.length === 0) return undefined
    const ask = this.#askAt()
    return ask !== undefined && ask < this.#phase.next ? ask : this.#phase.next
  }

  /** What is due at `now`; call until undefined. */
  step(now: Instant): SearchStep | undefined {
    if (this.#phase.kind === 'idle' || this.#endpoints.length === 0) return undefined
    const ask = this.#askAt()
    if (ask !== undefined && now >= ask && this.#since !== undefined) {
      this.#askedAt = now
      return { kind: 'ask-timestamp', since: elapsed(this.#since, now) }
    }
    if (now < this.#phase.next) return undefined
    if (this.#phase.kind === 'resting') {
      this.#phase = { kind: 'trying', roundFrom: now, tried: 0, next: now }
    }
    return this.#try(now, this.#phase)
  }

  #try(now: Instant, phase: Extract<Phase, { kind: 'trying' }>): SearchStep {
    const triedAll = phase.tried >= this.#endpoints.length
    if (triedAll && elapsed(phase.roundFrom, now) >= ROUND_SPAN) {
      const until = after(now, this.#nextRest())
      this.#phase = { kind: 'resting', next: until }
      return { kind: 'rest', until }
    }
    if (phase.tried > 0) this.#turn = (this.#turn + 1) % this.#endpoints.length
    this.#phase = { ...phase, tried: phase.tried + 1, next: after(now, TRY_SPAN) }
    return { kind: 'try', endpoint: this.#endpoints[this.#turn]! }
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
