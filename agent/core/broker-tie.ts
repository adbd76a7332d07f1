import type { Deadline } from '#shared/machine.ts'
import { after, type Duration, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import type { Association, TunnelEvent } from '#shared/tunnel/association.ts'
import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { AgentEvent, AgentState } from './agent-events.ts'
import type { BrokerWay } from './broker-way.ts'
import type { BrokerMemory, Hub } from './hub.ts'
import type { PathCare } from './path-care.ts'

/** What the tie acts on. */
export interface TieParts {
  readonly hub: Hub
  readonly way: BrokerWay
  readonly care: PathCare
  association(): Association | undefined
  /** Asks the other end of every stream that has said nothing since then whether it still knows it. */
  probeStreams(since: Instant): void
  event(event: AgentEvent): void
  /** The state has changed. */
  changed(): void
}

/** Unanswered for so long, a session that was up counts as lost. */
const LOST_AFTER_MS = 15_000

/** The question to the streams, or its answer, may be lost: so long after the session was made, silent ones are asked (again). */
const ASK_AFTER: readonly Duration[] = [seconds(2), seconds(8)]

/**
 * Whether we are tied to the broker, as the association's events and authentic packets tell:
 *
 *   starting --seek--> connecting --first authentic packet--> up --lapsed or unanswered--> connecting        any --end--> down
 *
 * An idle noise session lapses without a word: the state stays `up` while binding answers come, and whichever side has something to say
 * makes the next session (DESIGN D7).
 */
export class BrokerTie {
  readonly #parts: TieParts
  #state: AgentState = 'starting'
  #since: Instant
  /** The broker has been silent: it may have been restarted. */
  #mayBeForgotten = false
  /** When the streams are asked next, and since when those that are have been silent. */
  #asksAt: readonly Instant[] = []
  #asksOf: Instant

  constructor(parts: TieParts, now: Instant) {
    this.#parts = parts
    this.#since = now
    this.#asksOf = now
  }

  get state(): AgentState {
    return this.#state
  }

  /** When the state last changed. */
  get since(): Instant {
    return this.#since
  }

  seek(why: Extract<AgentEvent, { kind: 'connecting' }>['why'], now: Instant): void {
    const { care, way, event } = this.#parts
    this.#asksAt = []
    this.#enter('connecting', now)
    care.lost('the broker does not answer', now)
    way.leave(now)
    event({ kind: 'connecting', why })
    way.seek(now)
  }

  end(now: Instant): void {
    this.#asksAt = []
    this.#enter('down', now)
    this.#parts.care.lost('the agent was stopped', now)
    this.#parts.event({ kind: 'down' })
  }

  /** An authentic data packet came from there. */
  heard(from: Endpoint, now: Instant): void {
    const { care, way, association } = this.#parts
    if (this.#state !== 'up' && way.accepts(from)) this.#authentic(from, now)
    // Where we only try to reach it, it has yet to answer.
    if (sameEndpoint(from, association()?.endpoint)) this.#follow(now)
    care.authentic(now)
  }

  /** Two questions in a row found no answer. */
  silent(now: Instant): void {
    this.#mayBeForgotten = true
    this.#parts.care.disturb(false, now)
  }

  deadline(): Deadline | undefined {
    const [at] = this.#asksAt
    return at && { at, why: 'ask the streams' }
  }

  expire(now: Instant): void {
    const [at] = this.#asksAt
    if (at === undefined || at > now) return
    this.#asksAt = this.#asksAt.slice(1)
    this.#parts.probeStreams(this.#asksOf)
  }

  /** An event of the association with the broker. */
  take(event: TunnelEvent, now: Instant): void {
    const { hub } = this.#parts
    switch (event.kind) {
      case 'established':
        this.#established(now)
        // A broker that was silent may have started anew as well.
        this.#askStreams(this.#mayBeForgotten ? 'doubtful' : hub.memory(event), now)
        this.#mayBeForgotten = false
        break
      case 'roamed':
        this.#follow(now)
        // Where we were not willing to follow, nothing has changed.
        if (this.#state === 'up' && sameEndpoint(event.association.endpoint, event.to))
          this.#parts.event({ kind: 'roamed', endpoint: event.to })
        break
      case 'lapsed':
        if (this.#state === 'up' && !hub.lapses) this.seek('lapsed', now)
        break
      case 'unanswered':
        this.#mayBeForgotten = true
        // A rekey may be unlucky while its session works.
        if (this.#state === 'up' && event.sinceMs >= LOST_AFTER_MS && !this.#isHeard(now)) this.seek('unanswered', now)
    }
  }

  /**
   * A broker that was restarted knows no stream, and idle ones would never notice. Where nothing but our asking made the session, what was
   * said in it first has mostly been answered by the time that a silent stream is asked.
   */
  #askStreams(memory: BrokerMemory, now: Instant): void {
    if (memory === 'kept') return
    this.#asksOf = now
    if (memory === 'doubtful') this.#parts.probeStreams(now)
    this.#asksAt = ASK_AFTER.map((span) => after(now, span))
  }

  /** An authentic answer came; the association itself sends the packet that lets the responder use the session too. */
  #established(now: Instant): void {
    const { hub, way, care } = this.#parts
    const association = this.#parts.association()
    const endpoint = association?.endpoint
    if (association === undefined || endpoint === undefined || !way.accepts(endpoint)) return
    // It answers a message of ours and comes from where the owner says that the broker is: that needs no further proof.
    if (way.searching && way.knows(endpoint)) hub.endpoint.setEndpoint(association, endpoint, now)
    if (this.#state !== 'up') this.#authentic(endpoint, now)
    else {
      care.answered('a handshake was answered', undefined, now)
      this.#follow(now)
      if (way.searching) way.found(endpoint)
    }
  }

  #authentic(from: Endpoint, now: Instant): void {
    if (this.#state === 'up' || this.#state === 'down') return
    const { hub, way, care, association, event } = this.#parts
    const broker = association()
    way.found(from)
    this.#enter('up', now)
    way.use(from, now)
    care.found(from, broker && hub.roundTrip?.(broker), now)
    event({ kind: 'up', endpoint: from, handshakes: broker?.counters.handshakes ?? 0 })
  }

  /** The association may have gone over to another way. */
  #follow(now: Instant): void {
    const { way, care, association } = this.#parts
    const endpoint = association()?.endpoint
    if (this.#state === 'up' && endpoint !== undefined && way.use(endpoint, now)) care.use(endpoint, false, now)
  }

  #isHeard(now: Instant): boolean {
    const heard = this.#parts.association()?.lastAuthentic
    return heard !== undefined && elapsed(heard, now) < LOST_AFTER_MS
  }

  #enter(state: AgentState, now: Instant): void {
    if (this.#state === state) return
    this.#state = state
    this.#since = now
    this.#parts.changed()
  }
}
