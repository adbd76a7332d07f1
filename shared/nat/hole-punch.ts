import type { Deadline, Machine } from '#shared/machine.ts'
import { after, type Duration, type Instant, milliseconds } from '#shared/time/instant.ts'
import { copyEndpoint, type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { CANDIDATE_LIMIT, type Candidate, mayBeProbed, priorityOf } from './candidate.ts'

export type PunchInput =
  /** Both ends begin at the same moment, each towards all places of the other (RFC 5128 §3.3). */
  | { kind: 'start'; candidates: readonly Candidate[]; at: Instant }
  /** A datagram of the other end came from a place that it did not name: its NAT maps us elsewhere than STUN saw. */
  | { kind: 'seen'; endpoint: Endpoint }
  /** This place has answered: no further probes go there. */
  | { kind: 'proven'; endpoint: Endpoint }
  | { kind: 'stop' }
  | { kind: 'time' }

export type PunchOutput =
  | { kind: 'probe'; to: Endpoint }
  /** The time for it is over; what has not answered will hardly do so. */
  | { kind: 'over'; proven: boolean }

/** When the places are probed, counted from the agreed moment. The first round opens our own NAT, the later ones find theirs open. */
const rounds: readonly Duration[] = [0, 60, 140, 260, 420, 640, 900, 1_200, 1_550].map(milliseconds)
/** Between two datagrams of a round: a burst would be cut by the rate limits of small NATs. */
const PACE = milliseconds(5)
/** After the last round, answers may still come. */
const SPAN = milliseconds(2_000)
/** Places that the other end did not name, of which the first few are believed. */
const SEEN_LIMIT = 3

interface Target {
  readonly endpoint: Endpoint
  /** Index of the next round. */
  round: number
  next: Instant
  proven: boolean
}

/**
 * One attempt to open both NATs at once: at most twelve places of the other end, nine probes each, two seconds in all. Ports are not
 * guessed: where both NATs map by the remote port there is no direct path, and the relay stays.
 */
export class HolePunch implements Machine<PunchInput, PunchOutput> {
  readonly #outputs: PunchOutput[] = []
  #targets: Target[] = []
  #startedAt: Instant | undefined
  #seen = 0

  get isRunning(): boolean {
    return this.#startedAt !== undefined
  }

  handle(input: PunchInput, now: Instant): void {
    switch (input.kind) {
      case 'start':
        this.#start(input.candidates, input.at < now ? now : input.at)
        break
      case 'seen':
        if (
          this.isRunning &&
          this.#seen < SEEN_LIMIT &&
          mayBeProbed(input.endpoint) &&
          this.#find(input.endpoint) === undefined
        ) {
          this.#seen++
          this.#targets.push({ endpoint: copyEndpoint(input.endpoint), round: 0, next: now, proven: false })
        }
        break
      case 'proven': {
        const target = this.#find(input.endpoint)
        if (target) target.proven = true
        break
      }
      case 'stop':
        this.#end()
        return
    }
    this.#step(now)
  }

  poll(): PunchOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    if (this.#startedAt === undefined) return undefined
    const open = this.#targets.filter(({ proven, round }) => !proven && round < rounds.length)
    const at = Math.min(after(this.#startedAt, SPAN), ...open.map(({ next }) => next)) as Instant
    return { at, why: 'probe of a direct path' }
  }

  #start(candidates: readonly Candidate[], at: Instant): void {
    const fit = candidates.filter(({ endpoint }) => mayBeProbed(endpoint)).sort((a, b) => priorityOf(b) - priorityOf(a))
    this.#startedAt = at
    this.#seen = 0
    this.#targets = fit
      .slice(0, CANDIDATE_LIMIT)
      .map(({ endpoint }, i) => ({ endpoint, round: 0, next: after(at, milliseconds(i * PACE)), proven: false }))
  }

  #step(now: Instant): void {
    const startedAt = this.#startedAt
    if (startedAt === undefined) return
    for (const target of this.#targets) {
      if (target.proven || target.round >= rounds.length || now < target.next) continue
      this.#outputs.push({ kind: 'probe', to: target.endpoint })
      target.next = after(target.next, milliseconds((rounds[target.round + 1] ?? SPAN) - rounds[target.round]!))
      target.round++
    }
    const every = this.#targets.length > 0 && this.#targets.every(({ proven }) => proven)
    if (!every && now < after(startedAt, SPAN)) return
    this.#outputs.push({ kind: 'over', proven: this.#targets.some(({ proven }) => proven) })
    this.#end()
  }

  #find(endpoint: Endpoint): Target | undefined {
    return this.#targets.find((target) => sameEndpoint(target.endpoint, endpoint))
  }

  #end(): void {
    this.#startedAt = undefined
    this.#targets = []
  }
}
