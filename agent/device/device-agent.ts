/**
 * The device role: tunnel, services, readings. Each part may fail alone; what must not fail is the tunnel with its services, since it
 * is the only way for a person to come and mend the rest.
 */
import type { AgentConfig } from '#agent/core/agent-config.ts'
import type { AgentEvent } from '#agent/core/agent-core.ts'
import { directOptions } from '#agent/io/direct-options.ts'
import { FleetKeeper } from '#agent/io/fleet-keeper.ts'
import { hardwareHints } from '#agent/io/hardware-hints.ts'
import type { Identity } from '#agent/io/identity.ts'
import { OrderWatch } from '#agent/io/order-watch.ts'
import { SqliteOutboxStore } from '#agent/io/outbox-store.ts'
import { RatchetKeeper } from '#agent/io/ratchet-keeper.ts'
import { Renewal } from '#agent/io/renewal.ts'
import { Tunnel } from '#agent/io/tunnel.ts'
import { Uplink } from '#agent/io/uplink.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { HardwareHints } from '#shared/enrolment/hardware-hints.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import type { Clock, Instant } from '#shared/time/instant.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { agentFactOf } from './agent-fact.ts'
import type { DeviceConfig } from './config.ts'
import { FirstWord } from './first-word.ts'
import { HostKeyWatch } from './host-key-watch.ts'
import { ReadingSources } from './reading-sources.ts'
import { ReadingStore } from './reading-store.ts'
import { SelfDiagnosis } from './self-diagnosis.ts'
import { ServiceDoor } from './service-door.ts'
import { ServiceHost } from './service-host.ts'
import { heldAs, member } from './standing.ts'
import { type DeviceStatus, statusOf } from './status.ts'

/** What `run --json` prints, one a line, with `event` first. */
export interface DeviceEvent {
  readonly event:
    | 'starting'
    | 'connecting'
    | 'up'
    | 'down'
    | 'finding'
    | 'waiting'
    | 'enrolled'
    | 'renewed'
    | 'wiping'
    | 'wiped'
    | 'held'
    | 'replaced'
  readonly [field: string]: unknown
}

export interface DeviceAgentOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly identity: Identity
  readonly config: DeviceConfig
  /** What this machine shows of itself, hashed under a text of the fleet; left out: what Linux shows. */
  hints?(salt: string): Promise<HardwareHints>
  onEvent(event: DeviceEvent): void
  /** A datagram of the tunnel, whichever way. */
  onDatagram?(): void
  /** The folder holds another identity than ours now: this agent is to be stopped, and another one started from it. */
  onReplaced?(): void
  /** The fleet's key orders this device to forget the fleet: its owner is to end the agent, and carry it out. */
  onOrder(order: { id: string; next?: string }): void
}

/** Bytes under way on one connection, each way: 40 Mbit/s at a round trip of 100 ms, in half the memory of the netstack's default. */
const CONNECTION_BUFFER = 512 * 1024

export class DeviceAgent {
  readonly #options: DeviceAgentOptions
  readonly #startedAt: Instant
  readonly #fleet: FleetKeeper
  readonly #services: ServiceHost
  readonly #door: ServiceDoor
  readonly #store: ReadingStore
  readonly #sources: ReadingSources
  readonly #hostKeys: HostKeyWatch
  readonly #uplink: Uplink
  readonly #renewal: Renewal
  readonly #ratchet: RatchetKeeper
  readonly #firstWord: FirstWord
  readonly #doctor: SelfDiagnosis
  readonly #orders: OrderWatch
  #tunnel: Tunnel | undefined
  #closed = false
  #isHeld = false

  private constructor(options: DeviceAgentOptions, fleet: FleetKeeper) {
    const { suite, timers, log, identity, config, clock } = options
    this.#options = options
    this.#startedAt = clock.now()
    this.#fleet = fleet
    this.#services = new ServiceHost(config.services)
    this.#door = new ServiceDoor({
      trust: fleet.trust,
      timers,
      opens: (from, port) => this.#tunnel?.core.direct?.opens(from, port) ?? false,
      ask: () => this.#uplink.askForStatements(),
    })
    this.#uplink = new Uplink({
      suite,
      timers,
      log,
      name: identity.record.name,
      connect: () => this.#connectToBroker(),
      now: () => Math.round(identity.floors.time.now()),
      statements: { trust: fleet.trust, take: (digest, statements) => this.#takeStatements(digest, statements) },
      onConfigChanged: () => {
        this.#tunnel?.refresh()
        void this.#ratchet.contact()
      },
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
    this.#sources = new ReadingSources({
      ...{ timers, log, config, store: this.#store },
      folder: identity.folder.path,
      time: identity.floors.time,
      isSparing: () => this.#tunnel?.care?.status.mode !== 'normal',
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
    this.#orders = new OrderWatch({ suite, timers, log, identity, fleet, onOrder: (order) => options.onOrder(order) })
    this.#ratchet = new RatchetKeeper({
      suite,
      clock,
      timers,
      log,
      identity,
      hints: () => this.#hints(),
      onHeld: (clone) => void this.#heldApart(clone),
      onReplaced: () => {
        this.#say('replaced', {})
        options.onReplaced?.()
      },
    })
    this.#renewal = new Renewal({ suite, timers, log, identity, onRenewed: (notAfter) => this.#renewed(notAfter) })
    this.#firstWord = new FirstWord({ timers, log, identity, ratchet: this.#ratchet, renewal: this.#renewal })
  }

  /** Throws only for what a person must mend first (a port that they named is taken). */
  static async start(options: DeviceAgentOptions): Promise<DeviceAgent> {
    const { suite, log, identity } = options
    const { folder, keys, floors, record } = identity
    const { publicKey: tunnelKey } = keys.tunnel
    const fleet = await FleetKeeper.open({ suite, folder, time: floors.time, tunnelKey, config: record.config, log })
    const agent = new DeviceAgent(options, fleet)
    await agent.#sources.listen()
    agent.#say('starting', { name: identity.record.name })
    await agent.#ratchet.open()
    await agent.#firstWord.ask()
    if (agent.#ratchet.clone === undefined) await agent.#openTunnel()
    // It may have been said while the tunnel was being opened.
    if (agent.#ratchet.clone !== undefined) await agent.#heldApart(agent.#ratchet.clone)
    const netstack = agent.#tunnel?.core.netstack
    if (netstack) agent.#services.listen(netstack, log, agent.#door, (service) => agent.#hostKeys.visited(service))
    void agent.#hostKeys.ask()
    void agent.#store.open().then(() => agent.#sources.reportVitals())
    agent.#renewal.start()
    agent.#doctor.start()
    agent.#orders.start()
    return agent
  }

  async #openTunnel(): Promise<void> {
    const { suite, clock, timers, log, identity, config } = this.#options
    const { floors } = identity
    const fleet = this.#fleet
    this.#tunnel = await Tunnel.open({
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
      onFinding: ({ code, text, mend }) => this.#say('finding', { code, text, mend }),
      provenAddresses: () => identity.provenAddresses,
      limits: { sendBuffer: CONNECTION_BUFFER, receiveBuffer: CONNECTION_BUFFER },
      speaks: config.suite,
      ike: () => identity.ike(),
      direct: (local, mapped) =>
        directOptions('device', {
          ...{ trust: fleet.trust, time: () => floors.time.now(), local, mapped, log },
          relayOnly: config.path === 'relay',
          tun: config.tun?.name,
        }),
      // A port that nobody is told of would be a hole for nothing.
      tun: config.tun,
      portMapping: config.portMapping && config.path !== 'relay',
      data: config.data,
      onPace: () => this.#tellPace(),
      onDatagram: () => this.#options.onDatagram?.(),
      onEvent: (event) => this.#tunnelEvent(event),
      heard: (config) => this.#heard(config),
      refused: () => this.#renewal.refused(),
    })
    this.#tellPace()
    fleet.configure(this.#tunnel.config)
  }

  /** Hashed under what the fleet is called for ever, so that the broker keeps no maker's number. */
  async #hints(): Promise<HardwareHints | undefined> {
    const { identity, suite, hints } = this.#options
    const salt = (this.#tunnel?.config ?? identity.record.config)?.fleet.prefix
    if (salt === undefined) return undefined
    return hints ? hints(salt) : hardwareHints(salt, suite)
  }

  /** Somebody else is the device that we were copied from: no data, no shell. */
  async #heldApart(clone: number): Promise<void> {
    if (!this.#isHeld) this.#say('held', { clone })
    this.#isHeld = true
    const tunnel = this.#tunnel
    this.#tunnel = undefined
    this.#uplink.pause()
    await tunnel?.close()
  }

  get mqttPort(): number | undefined {
    return this.#sources.mqtt.address?.port
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
      standing: this.#ratchet.clone === undefined ? member : heldAs(this.#ratchet.clone),
      tunnel: this.#tunnel,
      services: this.#services.status(),
      storage: this.#store.status(),
      hostKeys: this.#hostKeys.keys,
      fleet: this.#fleet.trust,
      uplink: { connected: this.#uplink.connected, delivered: this.#uplink.delivered, refused: this.#uplink.refused },
      mqtt: this.#sources.mqtt,
    })
  }

  /** Says goodbye, lets go of everything, loses nothing that was acknowledged. */
  async stop(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#hostKeys.close()
    this.#doctor.close()
    this.#orders.close()
    this.#renewal.stop()
    this.#ratchet.close()
    await this.#sources.close()
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
      void this.#renewal.hint()
      this.#firstWord.again()
      void this.#ratchet.hint()
      this.#doctor.tunnel(true)
      this.#orders.tunnel(true)
      void this.#uplink.start()
      void this.#hostKeys.ask()
    } else if (event.kind === 'connecting') {
      this.#say('connecting', { why: event.why })
      log.info({ why: event.why }, 'looking for the broker')
      this.#uplink.pause()
      void this.#ratchet.lost()
      this.#doctor.tunnel(false)
      this.#orders.tunnel(false)
    } else if (event.kind === 'down') this.#say('down', {})
  }

  /** What the broker says of its authorities: which roots to trust, and whether our certificate is to be by another CA. */
  async #heard(config: AgentConfig): Promise<boolean> {
    const within = config.certificate.renewWithinSeconds
    if (within !== undefined) this.#renewal.hurry(within)
    if (!(await this.#options.identity.followRoots(config))) return false
    this.#options.log.info({}, "the fleet's roots have changed, each signed for by the one before")
    this.#tunnel?.renewed()
    return true
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
    this.#door.changed()
    this.#tunnel?.core.direct?.recheck()
    this.#orders.look()
  }

  /** What the doctor examines. */
  #self() {
    const { suite, clock, identity } = this.#options
    return { suite, clock, identity, services: this.#services.services, agent: agentFactOf(this.status()) }
  }

  #renewed(notAfter: number): void {
    this.#tunnel?.renewed()
    void this.#ratchet.contact()
    this.#say('renewed', { notAfter })
  }

  #connectToBroker() {
    const config = this.#tunnel?.config
    const address = config?.broker.inner[0]
    if (!this.#tunnel || !config || address === undefined) throw new Error('the tunnel has no configuration')
    return this.#tunnel.core.netstack.connect({ address, port: config.broker.mqttPort }).setNoDelay(true)
  }

  #say(event: DeviceEvent['event'], fields: Record<string, unknown>): void {
    this.#options.onEvent({ event, ...fields })
  }
}

/** Loaded when it is first needed: most agents are well. */
const selfExamination = () => import('#agent/doctor/io/self-examination.ts')
