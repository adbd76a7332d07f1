import type { Duplex } from 'node:stream'
import { UplinkWindow } from '#agent/core/uplink-window.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { encodeCbor } from '#shared/telemetry/cbor.ts'
import type { Outbox } from '#shared/telemetry/outbox.ts'
import { encodeBatch, MAX_BATCH_READINGS } from '#shared/telemetry/reading.ts'
import { deviceTopic } from '#shared/telemetry/topics.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { seconds } from '#shared/time/instant.ts'
import type { MqttClient } from './mqtt-client.ts'

export interface UplinkOptions {
  readonly suite: Suite
  readonly timers: Timers
  readonly log: Log
  /** The device's name: client id, and owner of its topics. */
  readonly name: string
  /** A TCP stream through the tunnel to the broker's MQTT port. */
  connect(): Duplex
}

/** No PUBACK for so long after a publish: the connection is as good as dead. */
const ACK_PATIENCE = seconds(30)
const RETRY_BASE = seconds(1)
const RETRY_CAP = seconds(30)

/**
 * Carries the outbox to the broker: MQTT 3.1.1 in the tunnel, batches at QoS 1, a few at a time, deleted when the broker has
 * acknowledged them. MQTT's own keepalive is off: the tunnel's serves (DESIGN D7).
 */
export class Uplink {
  readonly #options: UplinkOptions
  readonly #window = new UplinkWindow()
  readonly #backoff: Backoff
  #outbox: Outbox | undefined
  #hostKeys: Record<string, readonly string[]> = {}
  #client: MqttClient | undefined
  #connected = false
  #wanted = false
  #pumping = false
  #again = false
  #retry: Timer | undefined
  #patience: Timer | undefined
  /** Readings that the broker has acknowledged since the start. */
  delivered = 0

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

  /** Says goodbye, so that the broker need not wait for silence, and ends. */
  async stop(): Promise<void> {
    this.#wanted = false
    const client = this.#client
    if (client && this.#connected) {
      client.publish(deviceTopic(this.#options.name, 'goodbye'), '', { qos: 0 })
      await Promise.race([
        new Promise<void>((resolve) => client.end(false, {}, () => resolve())),
        new Promise<void>((resolve) => this.#options.timers.setTimer(seconds(1), resolve)),
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
  }

  #opened(client: MqttClient): void {
    if (client !== this.#client) return
    this.#connected = true
    this.#options.log.debug('the uplink stands')
    this.#sendHostKeys()
    void this.#pump()
  }

  #closed(client: MqttClient): void {
    if (client !== this.#client) return
    this.#drop()
    if (!this.#wanted) return
    const delay = this.#backoff.next()
    this.#options.log.debug({ delayMs: Math.round(delay) }, 'the uplink is gone')
    this.#retry = this.#options.timers.setTimer(delay, () => void this.#connect())
  }

  #drop(): void {
    const client = this.#client
    this.#client = undefined
    this.#connected = false
    this.#retry?.clear()
    this.#patience?.clear()
    this.#window.rewind()
    client?.end(true)
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
    } finally {
      this.#pumping = false
    }
  }

  async #sendNext(): Promise<boolean> {
    const [client, outbox] = [this.#client, this.#outbox]
    if (!client || !outbox || !this.#connected || !this.#window.hasRoom) return false
    const rows = await outbox.after(this.#window.cursor, MAX_BATCH_READINGS)
    if (client !== this.#client) return true
    const batch = this.#window.take(rows)
    if (batch === undefined) return false
    const payload = encodeBatch(batch.rows[0]!.boot, batch.rows)
    this.#waitForAck()
    client.publish(deviceTopic(this.#options.name, 'readings'), Buffer.from(payload), { qos: 1 }, (error) => {
      if (error || client !== this.#client) return
      this.delivered += batch.rows.length
      this.#backoff.reset()
      void this.#acknowledged(outbox, batch.id)
    })
    return true
  }

  async #acknowledged(outbox: Outbox, id: number): Promise<void> {
    const position = this.#window.acknowledge(id)
    this.#patience?.clear()
    if (this.#window.inFlight > 0) this.#waitForAck()
    // Where the disk is full the rows stay, and are not sent again in this run; the broker knows them in the next.
    if (position)
      await outbox.remove(position).catch((error) => this.#options.log.debug({ error: String(error) }, 'sent readings stay'))
    this.kick()
  }

  #waitForAck(): void {
    this.#patience?.clear()
    this.#patience = this.#options.timers.setTimer(ACK_PATIENCE, () => {
      const client = this.#client
      if (client) client.stream.destroy()
    })
  }
}
