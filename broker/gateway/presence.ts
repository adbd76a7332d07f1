import type { EndpointEvidence } from '#broker/gateway/endpoint-evidence.ts'
import type { Presence } from '#broker/gateway/view.ts'
import type { EndpointRecord } from '#broker/registry/presence.ts'
import { type Clock, type Duration, elapsed, minutes, seconds } from '#shared/time/instant.ts'
import type { Association, SuiteName } from '#shared/tunnel/association.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'

/** Six keepalives of an agent that has learned nothing yet, or two and a half of the packets of an older one (DESIGN D7). */
export const evidenceLife = seconds(150)
/** Silence of so many keepalives is silence; a part of one is the jitter's and the network's. */
const keepalivesMissed = 6.1

/** An endpoint that has not moved is written again this often, so that the stored age of evidence stays honest. */
const rewriteAfter = minutes(2)

interface Evidence {
  /** Wall-clock ms. */
  upSince: number
  lastAuthentic: number
  /** Of the last datagram from the known endpoint while it was up: it proves nothing, and keeps `up` what a proof has made so. */
  lastHint: number
  /** How often the device shows a sign of life while it is idle, ms. */
  pace: number
  /** It did not answer when it was asked; newer evidence ends that. */
  silent: boolean
  endpoint: string
  suite: SuiteName
  /** Wall-clock ms at which the device said that it goes; older than newer evidence is forgotten. */
  goodbye: number
  /** What is on disk, to write only what has changed. */
  storedAs: string
  storedAt: number
}

/** A device that came or went, for the audit log. */
export interface PresenceChange {
  principalId: number
  state: 'up' | 'down'
}

interface PresenceOptions {
  /** Where a peer is, for people. What is no literal endpoint is shown, and never called after a restart. */
  describe?: (endpoint: Endpoint) => string
  /** The known endpoints, and what came from there unproven. */
  places?: Pick<EndpointEvidence, 'place' | 'of' | 'forget'>
}

/**
 * What is known of each principal's reachability: authentic packets make it `up`, and so does nothing else; keepalives from the known
 * endpoint keep it so, since an idle session may lapse for hours (DESIGN D7). No ping, no timer of its own per device. `sweep`, every
 * few seconds, takes up what the associations have seen.
 */
export class PresenceTable {
  readonly #clock: Clock
  readonly #describe: (endpoint: Endpoint) => string
  readonly #places: PresenceOptions['places']
  readonly #evidence = new Map<number, Evidence>()
  readonly #announced = new Set<number>()

  constructor(clock: Clock, { describe = endpointText, places }: PresenceOptions = {}) {
    this.#clock = clock
    this.#describe = describe
    this.#places = places
  }

  /** Takes up what an earlier run knew. */
  restore(records: readonly EndpointRecord[]): void {
    const wall = this.#clock.wall()
    for (const { principalId, ...record } of records) {
      const evidence = { ...record, ...nothingElse, storedAs: placeOf(record), storedAt: record.lastAuthentic }
      this.#evidence.set(principalId, evidence)
      if (isFresh(evidence, wall)) this.#announced.add(principalId)
    }
  }

  /** Notes the association's newest authentic packet. Returns what must be written, if anything. */
  observe(principalId: number, association: Association): EndpointRecord | undefined {
    const { lastAuthentic, endpoint, suite } = association
    if (lastAuthentic === undefined || endpoint === undefined) return undefined
    const wall = this.#clock.wall()
    const at = Math.round(wall - elapsed(lastAuthentic, this.#clock.now()))
    const known = this.#evidence.get(principalId)
    const text = this.#describe(endpoint)
    this.#places?.place(principalId, endpoint)
    if (known === undefined) {
      this.#evidence.set(principalId, {
        upSince: at,
        lastAuthentic: at,
        endpoint: text,
        suite,
        ...nothingElse,
        storedAs: '',
        storedAt: 0,
      })
    } else if (at >= known.lastAuthentic) {
      const isNewer = at > known.lastAuthentic
      const wasAway = at - Math.max(known.lastAuthentic, known.lastHint) > lifeOf(known) || (known.silent && isNewer)
      if (wasAway || (known.goodbye > 0 && at > known.goodbye)) known.upSince = at
      if (at > known.goodbye) known.goodbye = 0
      if (isNewer) known.silent = false
      known.lastAuthentic = at
      known.endpoint = text
      known.suite = suite
    }
    return this.#due(principalId)
  }

  /** The device says, through `association`, how often it shows a sign of life while it is idle: maybe before any sweep has seen it. */
  setPace(principalId: number, pace: Duration, association: Association | undefined): void {
    if (association) this.observe(principalId, association)
    const known = this.#evidence.get(principalId)
    if (known) known.pace = pace
  }

  /** It was asked for an authentic answer, at `asked` (wall clock), and gave none. */
  unanswered(principalId: number, asked: number): void {
    const known = this.#evidence.get(principalId)
    if (known && known.lastAuthentic < asked) known.silent = true
  }

  /** The device says that it stops on purpose; later evidence brings it back. */
  goodbye(principalId: number): void {
    const known = this.#evidence.get(principalId)
    // Packets that were on their way (the acknowledgement of this very word) are no sign of life: half a second is theirs.
    if (known) known.goodbye = this.#clock.wall() + 500
  }

  of(principalId: number, association: Association | undefined): Presence {
    if (association) this.observe(principalId, association)
    const known = this.#evidence.get(principalId)
    if (known === undefined) return { state: 'never' }
    this.#takeHint(principalId, known)
    const { lastAuthentic, lastHint, pace, endpoint, suite, upSince, goodbye } = known
    const heard = { ...(lastHint > 0 && { lastHint }), ...(pace > 0 && { paceSeconds: Math.round(pace / 1000) }) }
    const evidence = { lastAuthentic, ...heard, endpoint, suite }
    if (isFresh(known, this.#clock.wall())) return { state: 'up', since: upSince, ...evidence }
    return { state: 'down', since: goodbye > 0 ? goodbye : Math.max(lastAuthentic, lastHint), ...evidence }
  }

  /** Who has come or gone since the last call. */
  changes(): PresenceChange[] {
    const wall = this.#clock.wall()
    const changes: PresenceChange[] = []
    for (const [principalId, evidence] of this.#evidence) {
      this.#takeHint(principalId, evidence)
      const up = isFresh(evidence, wall)
      if (up === this.#announced.has(principalId)) continue
      if (up) this.#announced.add(principalId)
      else this.#announced.delete(principalId)
      changes.push({ principalId, state: up ? 'up' : 'down' })
    }
    return changes
  }

  forget(principalId: number): void {
    this.#evidence.delete(principalId)
    this.#announced.delete(principalId)
    this.#places?.forget(principalId)
  }

  /** A datagram from the known endpoint counts only while what came before it has not grown too old: it never makes anybody `up`. */
  #takeHint(principalId: number, known: Evidence): void {
    const heard = this.#places?.of(principalId)?.lastHeard
    if (heard === undefined || known.goodbye > 0) return
    const at = Math.round(this.#clock.wall() - elapsed(heard, this.#clock.now()))
    const before = Math.max(known.lastAuthentic, known.lastHint)
    if (at > before && at - before <= lifeOf(known)) known.lastHint = at
  }

  #due(principalId: number): EndpointRecord | undefined {
    const known = this.#evidence.get(principalId)!
    const { endpoint, lastAuthentic, upSince, suite } = known
    if (known.storedAs === placeOf(known) && lastAuthentic - known.storedAt < rewriteAfter) return undefined
    return { principalId, endpoint, lastAuthentic, upSince, suite }
  }

  /** The records are on disk. */
  stored(records: readonly EndpointRecord[]): void {
    for (const record of records) {
      const known = this.#evidence.get(record.principalId)
      if (known === undefined) continue
      known.storedAs = placeOf(record)
      known.storedAt = record.lastAuthentic
    }
  }
}

/** What is known of one that has only just been heard of. */
const nothingElse = { lastHint: 0, pace: 0, silent: false, goodbye: 0 } as const

const lifeOf = ({ pace }: Evidence): number => Math.max(evidenceLife, keepalivesMissed * pace)

function isFresh(evidence: Evidence, wall: number): boolean {
  const { lastAuthentic, lastHint, goodbye, silent } = evidence
  return goodbye === 0 && !silent && wall - Math.max(lastAuthentic, lastHint) <= lifeOf(evidence)
}

const placeOf = ({ suite, endpoint }: { suite: SuiteName; endpoint: string }): string => `${suite} ${endpoint}`
