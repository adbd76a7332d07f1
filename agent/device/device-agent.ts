/**
 * The device role: tunnel, services, readings. Each part may fail alone; what must not fail is the tunnel with its services, since it
 * is the only way for a person to come and mend the rest.
 */
import type { AgentEvent } from '#agent/core/agent-core.ts'
import { directOptions } from '#agent/io/direct-options.ts'
import { FleetKeeper } from '#agent/io/fleet-keeper.ts'
import type { Identity } from '#agent/io/identity.ts'
import { LocalMqtt } from '#agent/io/local-mqtt.ts'
import { SqliteOutboxStore } from '#agent/io/outbox-store.ts'
import { Renewal } from '#agent/io/renewal.ts'
import { Tunnel } from '#agent/io/tunnel.ts'
import { Uplink } from '#agent/io/uplink.ts'
import { linuxSources, readVitalSigns } from '#agent/io/vital-signs.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Quality } from '#shared/telemetry/reading.ts'
import { type Clock, type Instant, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { agentFactOf } from './agent-fact.ts'
import type { DeviceConfig } from './config.ts'
import { HostKeyWatch } from './host-key-watch.ts'
import { ReadingStore } from './reading-store.ts'
import { SelfDiagnosis } from './self-diagnosis.ts'
import { ServiceHost } from './service-host.ts'
import { type DeviceStatus, statusOf } from './status.ts'

/** What `run --json` prints, one a line, with `event` first. */
export interface DeviceEvent {
  readonly event: 'starting' | 'connecting' | 'up' | 'down' | 'finding' | 'enrolled' | 'renewed'
  readonly [field: string]: unknown
}

export interface DeviceAgentOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly identity: Identity
  readonly config: DeviceConfig
  onEvent(event: DeviceEvent): void
}

/** While the default port belongs to another program, it is tried again so often. */
const LISTEN_AGAIN_AFTER = seconds(60)

/** Where data is paid for by the byte, vital signs come no more often than this. */
const SPARING_VITALS_EVERY = minutes(15)

/** Bytes under way on one connection, each way: 40 Mbit/s at a round trip of 100 ms, in half the memory of the netstack's default. */
const CONNECTION_BUFFER = 512 * 1024

export class DeviceAgent {
  readonly #options: DeviceAgentOptions
  readonly #startedAt: Instant
  readonly #fleet: FleetKeeper
  readonly #services: ServiceHost
  readonly #store: ReadingStore
  readonly #hostKeys: HostKeyWatch
  readonly #uplink: Uplink
  readonly #renewal: Renewal
  readonly #doctor: SelfDiagnosis
  #tunnel: Tunnel | undefined
  #mqtt: LocalMqtt | undefined
  #mqttError: string | undefined
  #listenAgain: Timer | undefined
  #vitals: Timer | undefined
  #closed = false

  private constructor(options: DeviceAgentOptions, fleet: FleetKeeper) {
    const { suite, timers, log, identity, config, clock } = options
    this.#options = options
    this.#startedAt = clock.now()
    this.#fleet = fleet
    this.#services = new ServiceHost(config.services)
    this.#uplink = new Uplink({
      suite,
      timers,
      log,
      name: identity.record.name,
      connect: () => this.#connectToBroker(),
      now: () => Math.round(identity.floors.time.now()),
      statements: { trust: fleet.trust, take: (digest, statements) => this.#takeStatements(digest, statements) },
      onConfigChanged: () => this.#tunnel?.refresh(),
      onOutboxError: (error) => this.#store.failed(error),
    })
    this.#store = new ReadingStore({
      limits: config.outbox,
      time: identity.floors.time,
      timers,
      log,
      boots: identity.floors,
      openStore: () => SqliteOutboxStore.openOrBegin(identity.folder.file('outbox.db')),
      onOpen: (outbox) => this.#uplink.setOutbox(outbox),
      onAppended: () => this.#uplink.kick(),
    })
    this.#hostKeys = new HostKeyWatch({
      suite,
      timers,
      log,
      services: config.services,
      onKeys: (keys) => this.#uplink.setHostKeys(keys),
    })
    this.#doctor = new SelfDiagnosis({
      timers,
      log,
      examine: async () => (await selfExamination()).examineSelf(this.#self()),
      examineHere: async () => (await selfExamination()).examineSelfHere(this.#self()),
      tell: (diagnosis) => identity.api().tellDiagnosis(diagnosis),
    })
    this.#renewal = new Renewal({ suite, timers, log, identity, onRenewed: (notAfter) => this.#renewed(notAfter) })
  }

  /** Throws only for what a person must mend first (a port that they named is taken). */
  static async start(options: DeviceAgentOptions): Promise<DeviceAgent> {
    const { suite, clock, timers, log, identity, config } = options
    const { folder, keys, floors } = identity
    const fleet = await FleetKeeper.open({ suite, folder, time: floors.time, tunnelKey: keys.tunnel.publicKey, log })
    const agent = new DeviceAgent(options, fleet)
    await agent.#listenForReadings(config.mqtt)
    agent.#say('starting', { name: identity.record.name })
    agent.#tunnel = await Tunnel.open({
      suite,
      clock,
      timers,
      log,
      folder: identity.folder,
      keys: identity.keys,
      record: identity.record,
      floors: identity.floors,
      api: () => identity.api(),
      root: identity.root,
      proxy: identity.proxy,
      onFinding: ({ code, text, mend }) => agent.#say('finding', { code, text, mend }),
      provenAddresses: () => identity.provenAddresses,
      limits: { sendBuffer: CONNECTION_BUFFER, receiveBuffer: CONNECTION_BUFFER },
      speaks: config.suite,
      ike: () => identity.ike(),
      direct: (local, mapped) =>
        directOptions('device', { trust: fleet.trust, time: () => floors.time.now(), local, mapped, log }),
      portMapping: config.portMapping,
      data: config.data,
      onPace: () => agent.#tellPace(),
      onEvent: (event) => agent.#tunnelEvent(event),
    })
    agent.#tellPace()
    fleet.configure(agent.#tunnel.config)
    const admits = (from: string, port: number): boolean => fleet.trust.admits(from, port)
    agent.#services.listen(agent.#tunnel.core.netstack, log, admits, (service) => agent.#hostKeys.visited(service))
    void agent.#hostKeys.ask()
    void agent.#store.open().then(() => agent.#reportVitals())
    agent.#renewal.start()
    agent.#doctor.start()
    return agent
  }

  get mqttPort(): number | undefined {
    return this.#mqtt?.address.port
  }

  /** Readings of the Node API; resolves when they are durable. */
  report(readings: unknown): Promise<void> {
    return this.#store.report(readings)
  }

  /** The owner of the device pins the administrator's key. Throws `fleet-key-refused` where another is pinned, unless `replace`. */
  async pinFleetKey(key: Uint8Array, replace: boolean): Promise<void> {
    await this.#fleet.pin(key, replace)
    this.#services.recheck()
    this.#uplink.askForStatements()
  }

  /** `status` for somebody who looks: what it says of the path has just been seen. */
  async look(): Promise<DeviceStatus> {
    await this.#tunnel?.look()
    return this.status()
  }

  status(): DeviceStatus {
    const { clock, identity } = this.#options
    return statusOf({
      now: clock.now(),
      wall: clock.wall(),
      startedAt: this.#startedAt,
      identity,
      tunnel: this.#tunnel,
      services: this.#services.status(),
      storage: this.#store.status(),
      hostKeys: this.#hostKeys.keys,
      fleet: this.#fleet.trust,
      uplink: { connected: this.#uplink.connected, delivered: this.#uplink.delivered, refused: this.#uplink.refused },
      mqtt: { address: this.#mqtt?.address, counters: this.#mqtt?.counters, error: this.#mqttError },
    })
  }

  /** Says goodbye, lets go of everything, loses nothing that was acknowledged. */
  async stop(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#listenAgain?.clear()
    this.#vitals?.clear()
    this.#hostKeys.close()
    this.#doctor.close()
    this.#renewal.stop()
    await this.#mqtt?.close()
    await this.#uplink.stop()
    this.#services.close()
    await this.#tunnel?.close()
    await this.#fleet.saved()
    await this.#store.close()
  }

  #tunnelEvent(event: AgentEvent): void {
    const { log } = this.#options
    const tunnel = this.#tunnel
    if (event.kind === 'up') {
      const endpoint = tunnel?.outer?.describe(event.endpoint) ?? endpointText(event.endpoint)
      const afterMs = Math.round(this.#options.clock.now() - this.#startedAt)
      this.#say('up', {
        name: this.#options.identity.record.name,
        endpoint,
        addresses: tunnel?.config?.inner.addresses ?? [],
        afterMs,
      })
      log.info({ endpoint, afterMs }, 'tunnel up')
      this.#renewal.hint()
      this.#doctor.tunnel(true)
      void this.#uplink.start()
      void this.#hostKeys.ask()
    } else if (event.kind === 'connecting') {
      this.#say('connecting', { why: event.why })
      log.info({ why: event.why }, 'looking for the broker')
      this.#uplink.pause()
      this.#doctor.tunnel(false)
    } else if (event.kind === 'down') this.#say('down', {})
  }

  /** A broker that sends `data` understands it; an older one would end the connection. */
  #tellPace(): void {
    const { config, care } = this.#tunnel ?? {}
    this.#uplink.setPace(config?.data === undefined ? undefined : care?.pace)
  }

  #takeStatements(digest: Uint8Array, statements: readonly Uint8Array[]): void {
    this.#fleet.configure(this.#tunnel?.config)
    this.#fleet.take(digest, statements)
    this.#services.recheck()
    this.#tunnel?.core.direct?.recheck()
  }

  /** What the doctor examines. */
  #self() {
    const { suite, clock, identity } = this.#options
    return { suite, clock, identity, services: this.#services.services, agent: agentFactOf(this.status()) }
  }

  #renewed(notAfter: number): void {
    this.#tunnel?.renewed()
    this.#say('renewed', { notAfter })
  }

  #connectToBroker() {
    const config = this.#tunnel?.config
    const address = config?.broker.inner[0]
    if (!this.#tunnel || !config || address === undefined) throw new Error('the tunnel has no configuration')
    return this.#tunnel.core.netstack.connect({ address, port: config.broker.mqttPort }).setNoDelay(true)
  }

  /** Another broker on the default port shall not cost the tunnel: only a place that a person named must be free. */
  async #listenForReadings(mqtt: DeviceConfig['mqtt']): Promise<void> {
    if (mqtt === 'off' || this.#closed) return
    try {
      this.#mqtt = await LocalMqtt.listen(mqtt.listen, this.#store, this.#options.log)
      this.#mqttError = undefined
    } catch (error) {
      const problem = toAditError(error)
      if (mqtt.explicit) throw problem
      if (this.#mqttError === undefined) this.#options.log.warn({ code: problem.code }, `${problem.message} ${problem.mend}`)
      this.#mqttError = problem.message
      this.#listenAgain = this.#options.timers.setTimer(LISTEN_AGAIN_AFTER, () => void this.#listenForReadings(mqtt))
    }
  }

  async #reportVitals(): Promise<void> {
    const { config, identity, timers } = this.#options
    if (config.vitalsEvery === undefined || this.#closed) return
    const { time } = identity.floors
    try {
      const quality = time.isUnsure ? Quality.clockUnsure : Quality.good
      await this.#store.append(await readVitalSigns(linuxSources(identity.folder.path), Math.round(time.now()), quality))
    } catch {
      // The storage has said so already; the next round tries again.
    }
    const isSparing = this.#tunnel?.care?.status.mode !== 'normal'
    const every = isSparing ? milliseconds(Math.max(config.vitalsEvery, SPARING_VITALS_EVERY)) : config.vitalsEvery
    if (!this.#closed) this.#vitals = timers.setTimer(every, () => void this.#reportVitals())
  }

  #say(event: DeviceEvent['event'], fields: Record<string, unknown>): void {
    this.#options.onEvent({ event, ...fields })
  }
}

/** Loaded when it is first needed: most agents are well. */
const selfExamination = () => import('#agent/doctor/io/self-examination.ts')
