import type { Presence } from '#broker/gateway/view.ts'
import type { EndpointRecord } from '#broker/registry/presence.ts'
import { type Clock, elapsed, minutes, seconds } from '#shared/time/instant.ts'
import type { Association, SuiteName } from '#shared/tunnel/association.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'

/** An idle agent sends an authenticated packet each minute; two lost ones and a half are silence enough (DESIGN D7). */
export const evidenceLife = seconds(150)

/** An endpoint that has not moved is written again this often, so that the stored age of evidence stays honest. */
const rewriteAfter = minutes(2)

interface Evidence {
  /** Wall-clock ms. */
  upSince: number
  lastAuthentic: number
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

/**
 * What is known of each principal's reachability, from authentic packets alone: no ping, no timer of its own per device. `sweep`, every few
 * seconds, takes up what the associations have seen.
 */
export class PresenceTable {
  readonly #clock: Clock
  readonly #describe: (endpoint: Endpoint) => string
  readonly #evidence = new Map<number, Evidence>()
  readonly #announced = new Set<number>()

  /** `describe`: where a peer is, for people. What is no literal endpoint is shown, and never called after a restart. */
  constructor(clock: Clock, describe: (endpoint: Endpoint) => string = endpointText) {
    this.#clock = clock
    this.#describe = describe
  }

  /** Takes up what an earlier run knew. */
  restore(records: readonly EndpointRecord[]): void {
    const wall = this.#clock.wall()
    for (const { principalId, ...record } of records) {
      const evidence = { ...record, goodbye: 0, storedAs: placeOf(record), storedAt: record.lastAuthentic }
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
    if (known === undefined) {
      this.#evidence.set(principalId, {
        upSince: at,
        lastAuthentic: at,
        endpoint: text,
        suite,
        goodbye: 0,
        storedAs: '',
        storedAt: 0,
      })
    } else if (at >= known.lastAuthentic) {
      const cameBack = at - known.lastAuthentic > evidenceLife || (known.goodbye > 0 && at > known.goodbye)
      if (cameBack) known.upSince = at
      if (at > known.goodbye) known.goodbye = 0
      known.lastAuthentic = at
      known.endpoint = text
      known.suite = suite
    }
    return this.#due(principalId)
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
    const { lastAuthentic, endpoint, suite, upSince, goodbye } = known
    const evidence = { lastAuthentic, endpoint, suite }
    if (isFresh(known, this.#clock.wall())) return { state: 'up', since: upSince, ...evidence }
    return { state: 'down', since: goodbye > 0 ? goodbye : lastAuthentic, ...evidence }
  }

  /** Who has come or gone since the last call. */
  changes(): PresenceChange[] {
    const wall = this.#clock.wall()
    const changes: PresenceChange[] = []
    for (const [principalId, evidence] of this.#evidence) {
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

function isFresh({ lastAuthentic, goodbye }: Evidence, wall: number): boolean {
  return goodbye === 0 && wall - lastAuthentic <= evidenceLife
}

const placeOf = ({ suite, endpoint }: { suite: SuiteName; endpoint: string }): string => `${suite} ${endpoint}`
