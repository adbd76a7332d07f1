import type { Duplex } from 'node:stream'
import { BatchTrial } from '#agent/core/batch-trial.ts'
import type { FleetTrust } from '#agent/core/fleet-trust.ts'
import { type Position, positionOf, UplinkWindow } from '#agent/core/uplink-window.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { decodePart, StatementAssembly } from '#shared/fleet/statement-parts.ts'
import type { Log } from '#shared/platform/log.ts'
import { pause } from '#shared/platform/pause.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { CborError, encodeCbor } from '#shared/telemetry/cbor.ts'
import { type Outbox, type OutboxRow, refusedSample } from '#shared/telemetry/outbox.ts'
import { BatchError, encodeBatch } from '#shared/telemetry/reading.ts'
import { configTopic, deviceTopic, statementsTopic } from '#shared/telemetry/topics.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Duration, seconds } from '#shared/time/instant.ts'
import type { FleetKeeper } from './fleet-keeper.ts'
import type { MqttClient } from './mqtt-client.ts'

export interface UplinkOptions {
  readonly suite: Suite
  readonly timers: Timers
  readonly log: Log
  /** The device's name: client id, and owner of its topics. */
  readonly name: string
  /** A TCP stream through the tunnel to the broker's MQTT port. */
  connect(): Duplex
  /** For stamping the records of gaps, ms since 1970. */
  now(): number
  /** The broker says that our configuration has changed. */
  onConfigChanged?(): void
  /** The statements that we hold, by the name of their set, and where a new set goes. */
  readonly statements?: Pick<FleetKeeper, 'take'> & { readonly trust: Pick<FleetTrust, 'digest'> }
  /** The outbox failed under us. */
  onOutboxError(error: unknown): void
}

/** No PUBACK for so long after a publish: the connection is as good as dead. */
const ACK_PATIENCE = seconds(30)
/** What a connection says first is acknowledged by now, or has ended it: one that lives so long is no reason for the next to wait. */
const SOUND_AFTER = seconds(40)
const RETRY_BASE = seconds(1)
const RETRY_CAP = seconds(30)

/**
 * Carries the outbox to the broker: MQTT 3.1.1 in the tunnel, batches at QoS 1, a few at a time, deleted when the broker has
 * acknowledged them. MQTT's own keepalive is off: the tunnel's serves (DESIGN D7).
 */
export class Uplink {
  readonly #options: UplinkOptions
  readonly #window = new UplinkWindow()
  readonly #trial = new BatchTrial()
  #probe: Position | undefined
  readonly #backoff: Backoff
  #outbox: Outbox | undefined
  #hostKeys: Record<string, readonly string[]> = {}
  #pace: Duration | undefined
  #client: MqttClient | undefined
  readonly #assembly = new StatementAssembly()
  #heldDigest = ''
  #connected = false
  #wanted = false
  #pumping = false
  #again = false
  #skipping = false
  #retry: Timer | undefined
  #patience: Timer | undefined
  #sound: Timer | undefined
  /** Readings that the broker has acknowledged since the start. */
  delivered = 0
  /** Readings that the broker would not take; for each there is a record of the gap. */
  refused = 0

  constructor(options: UplinkOptions) {
    this.#options = options
    this.#backoff = new Backoff(
      { base: RETRY_BASE, cap: RETRY_CAP },
      uniform((length) => options.suite.random(length)),
    )
  }

  get connected(): boolean {
    return this.#connected
  }

  /** The tunnel carries data (again): connects, or re-connects, since whatever the old stream had in flight may hang for minutes. */
  async start(): Promise<void> {
    this.#wanted = true
    this.#backoff.reset()
    this.#drop()
    await this.#connect()
  }

  /** The tunnel does not. What is unacknowledged stays in the outbox. */
  pause(): void {
    this.#wanted = false
    this.#drop()
  }

  /** The storage is there; before that, host keys go up and readings wait. */
  setOutbox(outbox: Outbox): void {
    this.#outbox = outbox
    this.kick()
  }

  /** Something new waits in the outbox. */
  kick(): void {
    if (this.#connected) void this.#pump()
  }

  setHostKeys(hostKeys: Record<string, readonly string[]>): void {
    this.#hostKeys = hostKeys
    this.#sendHostKeys()
  }

  /** How often the broker hears of us while all is well; undefined: it does not understand that word. */
  setPace(pace: Duration | undefined): void {
    this.#pace = pace
    this.#sendPace()
  }

  /** Says goodbye, so that the broker need not wait for silence, and ends. */
  async stop(): Promise<void> {
    this.#wanted = false
    const client = this.#client
    if (client && this.#connected) {
      client.publish(deviceTopic(this.#options.name, 'goodbye'), '', { qos: 0 })
      await Promise.race([
        new Promise<void>((resolve) => client.end(false, {}, () => resolve())),
        pause(this.#options.timers, seconds(1)),
      ])
    }
    this.#drop()
  }

  async #connect(): Promise<void> {
    // Loaded when first needed: it is a third of the agent's start.
    const { MqttClient } = await import('./mqtt-client.ts')
    if (!this.#wanted || this.#client) return
    const client = new MqttClient(() => this.#options.connect() as never, {
      protocolVersion: 4,
      clientId: this.#options.name,
      clean: true,
      keepalive: 0,
      reconnectPeriod: 0,
      connectTimeout: 15_000,
      queueQoSZero: false,
    })
    this.#client = client
    client.on('connect', () => this.#opened(client))
    client.on('error', (error) => this.#options.log.debug({ error: error.message }, 'the uplink failed'))
    client.on('close', () => this.#closed(client))
    client.on('message', (topic) => {
      if (topic === configTopic(this.#options.name)) this.#options.onConfigChanged?.()
    })
  }

  #opened(client: MqttClient): void {
    if (client !== this.#client) return
    this.#connected = true
    this.#sound = this.#options.timers.setTimer(SOUND_AFTER, () => this.#backoff.reset())
    this.#options.log.debug('the uplink stands')
    this.#sendPace()
    this.#sendHostKeys()
    client.on('message', (topic, message) => this.#told(topic, message))
    this.askForStatements()
    void this.#pump()
  }

  #closed(client: MqttClient): void {
    if (client !== this.#client) return
    const blamed = this.#probe ? { first: this.#probe, length: 1 } : this.#window.front
    this.#drop()
    if (!this.#wanted) return
    if (blamed) void this.#skip(this.#trial.refused(blamed.first, blamed.length))
    const delay = this.#backoff.next()
    this.#options.log.debug({ delayMs: Math.round(delay) }, 'the uplink is gone')
    this.#retry = this.#options.timers.setTimer(delay, () => void this.#connect())
  }

  #drop(): void {
    const client = this.#client
    this.#client = undefined
    this.#connected = false
    for (const timer of [this.#retry, this.#patience, this.#sound]) timer?.clear()
    this.#probe = undefined
    this.#window.rewind()
    client?.end(true)
  }

  #sendPace(): void {
    if (!this.#connected || this.#pace === undefined) return
    this.#client?.publish(deviceTopic(this.#options.name, 'pace'), String(Math.ceil(this.#pace / 1000)), { qos: 0 })
  }

  /** The broker sends the set at once where ours has another name, and each change from then on. */
  askForStatements(): void {
    const { name, statements, log } = this.#options
    const client = this.#client
    if (statements === undefined || client === undefined || !this.#connected) return
    client.unsubscribe(statementsTopic(name, this.#heldDigest))
    this.#heldDigest = statements.trust.digest
    client.subscribe(statementsTopic(name, this.#heldDigest), { qos: 0 }, (error) => {
      if (error) log.debug({ error: error.message }, 'the broker tells of no statements')
    })
  }

  #told(topic: string, message: Uint8Array): void {
    const { name, statements, log } = this.#options
    if (topic !== statementsTopic(name)) return
    try {
      const whole = this.#assembly.take(decodePart(message))
      if (whole) statements?.take(whole.digest, whole.statements)
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      log.warn({ error: error.message }, 'the broker sent statements that cannot be read')
    }
  }

  #sendHostKeys(): void {
    if (!this.#connected || Object.keys(this.#hostKeys).length === 0) return
    const payload = Buffer.from(encodeCbor(this.#hostKeys as never))
    this.#client?.publish(deviceTopic(this.#options.name, 'host-keys'), payload, { qos: 1 })
  }

  /** Fills the window. One at a time; a call that comes meanwhile makes it go round once more. */
  async #pump(): Promise<void> {
    if (this.#pumping) {
      this.#again = true
      return
    }
    this.#pumping = true
    try {
      do {
        this.#again = false
        while (await this.#sendNext());
      } while (this.#again)
    } catch (error) {
      this.#options.log.debug({ error: String(error) }, 'the outbox cannot be read')
      this.#options.onOutboxError(error)
    } finally {
      this.#pumping = false
    }
  }

  async #sendNext(): Promise<boolean> {
    const [client, outbox, trial] = [this.#client, this.#outbox, this.#trial]
    if (!client || !outbox || !this.#connected || !this.#window.hasRoom || this.#skipping) return false
    if (this.#probe || (trial.isHunting && this.#window.inFlight > 0)) return false
    const probeBehind = trial.probeBehind
    const rows = await outbox.after(probeBehind ?? this.#window.cursor, trial.limit)
    if (client !== this.#client) return true
    const batch = probeBehind ? { id: undefined, rows } : this.#window.take(rows)
    const first = batch?.rows[0]
    if (batch === undefined || first === undefined) return trial.probesEnded()
    const payload = this.#encoded(batch.rows)
    if (payload === undefined) return true
    if (probeBehind) this.#probe = positionOf(first)
    this.#waitForAck()
    client.publish(deviceTopic(this.#options.name, 'readings'), payload, { qos: 1 }, (error) => {
      if (error || client !== this.#client) return
      this.#backoff.reset()
      trial.taken()
      if (batch.id !== undefined) this.delivered += batch.rows.length
      void this.#acknowledged(outbox, batch.id)
    })
    return true
  }

  /** Undefined where the rows cannot travel together: they are then tried in smaller batches, and one that cannot go alone is left out. */
  #encoded(rows: readonly OutboxRow[]): Buffer | undefined {
    const first = rows[0]!
    try {
      return Buffer.from(encodeBatch(first.boot, rows))
    } catch (error) {
      if (!(error instanceof BatchError)) throw error
      this.#window.rewind()
      void this.#skip(this.#trial.unsendable(positionOf(first), rows.length))
      return undefined
    }
  }

  async #acknowledged(outbox: Outbox, id: number | undefined): Promise<void> {
    this.#probe = undefined
    const position = id === undefined ? undefined : this.#window.acknowledge(id)
    this.#patience?.clear()
    if (this.#window.inFlight > 0) this.#waitForAck()
    // Where the disk is full the rows stay, and are not sent again in this run; the broker knows them in the next.
    if (position)
      await outbox.remove(position).catch((error) => {
        this.#options.log.debug({ error: String(error) }, 'sent readings stay')
        this.#options.onOutboxError(error)
      })
    this.kick()
  }

  /** Leaves a condemned reading behind, once its gap is recorded; where that fails it is tried anew. */
  async #skip(condemned: Position | undefined): Promise<void> {
    const outbox = this.#outbox
    if (condemned === undefined || outbox === undefined) return
    this.#skipping = true
    try {
      await outbox.append([refusedSample(condemned, this.#options.now())])
      this.refused += 1
      this.#options.log.warn(condemned, 'the broker would never take this reading: it is left out, and the gap recorded')
      this.#window.skip(condemned)
      await outbox.remove(condemned)
    } catch (error) {
      this.#options.onOutboxError(error)
    } finally {
      this.#skipping = false
      this.kick()
    }
  }

  #waitForAck(): void {
    this.#patience?.clear()
    this.#patience = this.#options.timers.setTimer(ACK_PATIENCE, () => {
      const client = this.#client
      if (client) client.stream.destroy()
    })
  }
}
