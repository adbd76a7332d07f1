import type { Peers } from '#broker/gateway/peers.ts'
import type { PresenceTable } from '#broker/gateway/presence.ts'
import type { TakenTimestamps } from '#broker/gateway/taken-timestamps.ts'
import type { EndpointRecord } from '#broker/registry/presence.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { milliseconds } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'

/** What a restart must not lose (a timestamp taken, a place found) is on disk so soon; all of that time share one write. */
const soon = milliseconds(250)

export interface PresenceWriterOptions {
  registry: Pick<Registry, 'presence' | 'audit' | 'directory'>
  peers: Peers
  presence: PresenceTable
  taken: TakenTimestamps
  timers: Timers
  log: Log
}

/** Writes what the gateway must know again after a restart: endpoints, ages of evidence, timestamps taken. In batches, changed ones only. */
export class PresenceWriter {
  readonly #options: PresenceWriterOptions
  readonly #touched = new Set<string>()
  #timer: Timer | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(options: PresenceWriterOptions) {
    this.#options = options
  }

  /** The association has a new session, a new place or a new timestamp. */
  touched(association: Association): void {
    this.#touched.add(association.peerKey)
    this.#timer ??= this.#options.timers.setTimer(soon, () => {
      this.#timer = undefined
      void this.#queue(() => this.#writeTouched())
    })
  }

  /** Takes up what every association has seen, and tells the audit log who came and went. */
  sweep(): Promise<void> {
    return this.#queue(async () => {
      const moved: EndpointRecord[] = []
      for (const [id, association] of this.#options.peers.entries()) {
        const record = this.#options.presence.observe(id, association)
        if (record) moved.push(record)
      }
      for (const { principalId, state } of this.#options.presence.changes()) this.#tell(principalId, state)
      this.#touched.clear()
      await this.#write(moved)
    })
  }

  stop(): void {
    this.#timer?.clear()
  }

  async #writeTouched(): Promise<void> {
    const { registry, peers, presence } = this.#options
    const moved: EndpointRecord[] = []
    for (const key of this.#touched) {
      const principal = registry.directory.byPeerKey(key)
      const association = principal && peers.of(principal.id)
      const record = association && presence.observe(principal.id, association)
      if (record) moved.push(record)
    }
    this.#touched.clear()
    await this.#write(moved)
  }

  async #write(moved: readonly EndpointRecord[]): Promise<void> {
    const { registry, taken, presence, log } = this.#options
    const timestamps = taken.takeUnwritten()
    try {
      if (timestamps.length > 0) await registry.presence.saveTimestamps(timestamps)
      if (moved.length > 0) await registry.presence.saveEndpoints(moved)
      presence.stored(moved)
    } catch (error) {
      log.error({ error }, 'endpoints and timestamps could not be written; they will be tried again')
      taken.giveBack(timestamps)
    }
  }

  /** One write after another, so that an older record never follows a newer one. */
  #queue(work: () => Promise<void>): Promise<void> {
    this.#writing = this.#writing.then(work)
    return this.#writing
  }

  #tell(principalId: number, state: 'up' | 'down'): void {
    const { registry, presence, peers, log } = this.#options
    const principal = registry.directory.byId(principalId)
    if (principal === undefined) return
    const subject = `${principal.kind}:${principal.name}`
    const { endpoint } = presence.of(principalId, peers.of(principalId))
    const entry = { actor: subject, action: state === 'up' ? 'session.open' : 'session.close', subject, detail: { endpoint } }
    registry.audit
      .append({ ...entry, ...(principal.kind === 'device' && { deviceId: principalId }) })
      .catch((error: unknown) => log.error({ error }, 'audit row lost'))
  }
}
