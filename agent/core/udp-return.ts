import type { Suite } from '#shared/crypto/suite.ts'
import { type Dice, uniform } from '#shared/time/backoff.ts'
import { after, type Duration, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'

/** Questions go out so far apart at most, jittered downwards by a quarter: back on UDP within a minute of its working. */
const ASK_EVERY: Duration = seconds(28)
const FIRST_ASK: Duration = seconds(5)
/** An address that answers questions and then carries no data is left alone for so long. */
const DISTRUST: Duration = seconds(300)
/** Probes towards an address that answered, and the time between them; at least two round trips. */
const TRIES = 4
const TRY_SPAN: Duration = milliseconds(500)

export type ReturnStep =
  /** Is UDP back? */
  | { kind: 'ask'; endpoint: Endpoint }
  /** It answers: send an authenticated probe there, beside the way in use. The broker follows it, and its answer makes us follow. */
  | { kind: 'probe'; endpoint: Endpoint }
  /** Data does not pass there: an authenticated packet on the way in use brings the broker back to it. */
  | { kind: 'reclaim' }

/**
 * While datagrams are carried by something else than UDP (DESIGN D8): asks the broker's UDP addresses now and then, and climbs back when
 * one answers and carries data. The way in use stays as it is until then, so that nothing is lost.
 */
export class UdpReturn {
  readonly #dice: Dice
  #endpoints: readonly Endpoint[] = []
  #askAt: Instant | undefined
  #trial: { endpoint: Endpoint; tries: number; nextAt: Instant; span: Duration } | undefined
  readonly #distrusted = new Map<string, Instant>()
  readonly #steps: ReturnStep[] = []

  constructor(suite: Pick<Suite, 'random'>) {
    this.#dice = uniform((length) => suite.random(length))
  }

  /** `endpoints`: the broker's, of every kind. */
  setEndpoints(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints.filter((endpoint) => !isCarried(endpoint))
  }

  /** The way in use. */
  use(endpoint: Endpoint | undefined, now: Instant): void {
    if (endpoint !== undefined && isCarried(endpoint)) this.#askAt ??= after(now, FIRST_ASK)
    else this.stop()
  }

  stop(): void {
    this.#askAt = undefined
    this.#trial = undefined
    this.#steps.length = 0
  }

  /** Whether it is being tried just now. */
  tries(endpoint: Endpoint): boolean {
    return sameEndpoint(this.#trial?.endpoint, endpoint)
  }

  /** The network has changed: ask at once. */
  hurry(now: Instant): void {
    this.#distrusted.clear()
    if (this.#askAt !== undefined) this.#askAt = now
  }

  /** A question was answered. */
  answered(endpoint: Endpoint, roundTrip: Duration, now: Instant): void {
    if (this.#askAt === undefined || this.#trial !== undefined) return
    const until = this.#distrusted.get(keyOf(endpoint))
    if (until !== undefined && now < until) return
    this.#trial = { endpoint, tries: 0, nextAt: now, span: milliseconds(Math.max(TRY_SPAN, 2 * roundTrip)) }
    this.expire(now)
  }

  deadline(): Instant | undefined {
    return this.#trial?.nextAt ?? this.#askAt
  }

  expire(now: Instant): void {
    const trial = this.#trial
    if (trial !== undefined) {
      if (now < trial.nextAt) return
      if (trial.tries < TRIES) {
        trial.tries++
        trial.nextAt = after(now, trial.span)
        this.#steps.push({ kind: 'probe', endpoint: trial.endpoint })
        return
      }
      this.#trial = undefined
      this.#distrusted.set(keyOf(trial.endpoint), after(now, DISTRUST))
      this.#steps.push({ kind: 'reclaim' })
    }
    if (this.#askAt === undefined || now < this.#askAt) return
    this.#askAt = after(now, milliseconds(ASK_EVERY * (1 - this.#dice() / 4)))
    for (const endpoint of this.#endpoints) this.#steps.push({ kind: 'ask', endpoint })
  }

  poll(): ReturnStep | undefined {
    return this.#steps.shift()
  }
}

const keyOf = ({ address, port }: Endpoint): string => `${address}|${port}`
