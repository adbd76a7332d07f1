import { endpointText, parseEndpointText } from '#broker/gateway/endpoint-text.ts'
import { FlowJournal } from '#broker/gateway/flow-journal.ts'
import { GatewayPolicy } from '#broker/gateway/flow-policy.ts'
import { Peers } from '#broker/gateway/peers.ts'
import { PresenceTable } from '#broker/gateway/presence.ts'
import { PresenceWriter } from '#broker/gateway/presence-writer.ts'
import { initiationsPerSecond, Reawakening } from '#broker/gateway/reawakening.ts'
import { StunResponder } from '#broker/gateway/stun-responder.ts'
import type { GatewayCounters, GatewayView, Presence } from '#broker/gateway/view.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry, RegistryChange } from '#broker/registry/registry.ts'
import { MqttServer } from '#broker/telemetry/mqtt-server.ts'
import { ReadingSink } from '#broker/telemetry/reading-sink.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { FlowFilter } from '#shared/dataplane/flow-filter.ts'
import { Netstack, type TcpSocket } from '#shared/netstack/netstack.ts'
import type { Log } from '#shared/platform/log.ts'
import { PortableEngine } from '#shared/platform/portable-engine.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, seconds } from '#shared/time/instant.ts'
import type { TunnelEvent } from '#shared/tunnel/association.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'

export interface GatewayOptions {
  registry: Pick<Registry, 'directory' | 'policy' | 'audit' | 'presence' | 'telemetry' | 'hostKeys' | 'fleet' | 'onChange'>
  suite: Suite
  clock: Clock
  timers: Timers
  log: Log
  staticKey: KeyPair
  /** The broker's own TAI64N for its initiations, strictly growing over restarts too. */
  nextTimestamp(): Uint8Array
  bind: { address?: string; port: number }
  mqttPort: number
}

/** How often what has changed is taken up and written, presence is judged and lost bindings are noticed. */
const upkeepEvery = seconds(5)

/** Four flows each of 65,000 peers; none of them may hold so many that a few could fill the table. */
const flowLimits = { flows: 262_144, perInitiator: 1_024 }

/**
 * Connections that a broker may hold: two for each of 30,000 devices; and how little each may buffer, since batches are small. Resets go
 * to devices alone, whose streams a restart has forgotten: enough of them for all that are called back in a second, and some.
 */
const netstackLimits = {
  connections: 65_536,
  sendBuffer: 16 << 10,
  receiveBuffer: 256 << 10,
  backlog: 4_096,
  errorsPerSecond: 2 * initiationsPerSecond,
}

/**
 * The broker's end of every tunnel: one UDP port, one association per admitted principal, the relay between them, and MQTT at the broker's
 * inner addresses. Parts: peers.ts (who), flow-policy.ts (what), presence.ts (since when), flow-journal.ts (what is told).
 */
export class Gateway implements GatewayView {
  readonly #options: GatewayOptions
  readonly #engine: PortableEngine
  readonly #endpoint: WireguardEndpoint
  readonly #netstack: Netstack
  readonly #peers: Peers
  readonly #presence: PresenceTable
  readonly #writer: PresenceWriter
  readonly #journal: FlowJournal
  readonly #stun: StunResponder
  readonly #mqtt: MqttServer
  readonly #sink: ReadingSink
  #reawakening: Reawakening<WireguardAssociation> | undefined
  #upkeep: Timer | undefined
  #handshakes = 0
  #stopListening: (() => void) | undefined

  private constructor(parts: GatewayParts) {
    this.#options = parts.options
    this.#engine = parts.engine
    this.#endpoint = parts.endpoint
    this.#netstack = parts.netstack
    this.#peers = parts.peers
    this.#presence = parts.presence
    this.#writer = parts.writer
    this.#journal = parts.journal
    this.#stun = parts.stun
    this.#mqtt = parts.mqtt
    this.#sink = parts.sink
  }

  /** Binds the port and calls the devices that an earlier run knew. Throws AditError `port-in-use`. */
  static async open(options: GatewayOptions): Promise<Gateway> {
    const parts = await assemble(options, {
      event: (event) => gateway.#event(event),
      goodbye: (device) => gateway.#presence.goodbye(device.id),
    })
    const gateway: Gateway = new Gateway(parts)
    await gateway.#restore()
    parts.netstack.listen({ port: options.mqttPort, backlog: netstackLimits.backlog }, (socket) => gateway.#acceptMqtt(socket))
    gateway.#stopListening = options.registry.onChange((change) => gateway.#changed(change))
    gateway.#armUpkeep()
    return gateway
  }

  get inner(): readonly string[] {
    return this.#options.registry.fleet.broker
  }

  get listen(): string {
    return endpointText(this.#engine.local)
  }

  presence(principal: Principal): Presence {
    return this.#presence.of(principal.id, this.#peers.of(principal.id))
  }

  async probe(principal: Principal, timeoutMs: number): Promise<boolean> {
    const address = principal.addresses[0]
    const association = this.#peers.of(principal.id)
    if (address === undefined || association === undefined) return false
    const asked = this.#options.clock.now()
    const answered = await this.#netstack.ping(address, { timeoutMs })
    // A peer that lets no echo through may still have shown itself by a handshake.
    return answered !== undefined || (association.lastAuthentic ?? 0) > asked
  }

  lastTimestamp(tunnelKeyHex: string): Uint8Array | undefined {
    return this.#peers.lastTimestamp(tunnelKeyHex)
  }

  counters(): GatewayCounters {
    const { plane } = this.#engine
    const drops: Record<string, number> = {}
    for (const counters of [plane.counters, this.#endpoint.counters])
      for (const [label, count] of counters.entries()) if (count > 0) drops[label] = (drops[label] ?? 0) + count
    for (const [label, count] of this.#refusals()) if (count > 0) drops[label] = count
    let sessions = 0
    for (const [, association] of this.#peers.entries()) if (association.state === 'established') sessions++
    return {
      sessions,
      associations: this.#peers.size,
      flows: plane.filter.size,
      mqttClients: this.#mqtt.clients,
      outerReceived: plane.traffic.received,
      outerSent: plane.traffic.sent,
      stunAnswered: this.#stun.answered,
      handshakes: this.#handshakes,
      readings: this.#sink.counters.readings,
      duplicateReadings: this.#sink.counters.duplicates,
      drops,
    }
  }

  /** What was refused above the packets, by labels of the same kind. */
  #refusals(): [label: string, count: number][] {
    const { oversized, refusedConnects, refusedPublishes, refusedSubscribes } = this.#mqtt.counters
    return [
      ['stun-refused', this.#stun.refused],
      ['mqtt-oversized', oversized],
      ['mqtt-connect-refused', refusedConnects],
      ['mqtt-publish-refused', refusedPublishes],
      ['mqtt-subscribe-refused', refusedSubscribes],
      ['telemetry-quarantined', this.#sink.counters.quarantined],
      ['audit-suppressed', this.#journal.suppressed],
    ]
  }

  /** No new work; what is under way is written. */
  async drain(): Promise<void> {
    this.#stopListening?.()
    this.#reawakening?.stop()
    this.#upkeep?.clear()
    this.#writer.stop()
    await this.#mqtt.close()
    this.#engine.plane.filter.revoke(() => true)
    this.#journal.flush(this.#options.clock.now(), true)
    await this.#writer.sweep()
  }

  async close(): Promise<void> {
    this.#netstack.destroy()
    await this.#engine.close()
  }

  async #restore(): Promise<void> {
    const { registry } = this.#options
    const records = await registry.presence.loadEndpoints()
    this.#presence.restore(records)
    const known: WireguardAssociation[] = []
    for (const { principalId, endpoint: text } of records) {
      const principal = registry.directory.byId(principalId)
      const endpoint = parseEndpointText(text)
      const association = principal && endpoint && this.#peers.restore(principal, endpoint)
      if (association) known.push(association)
    }
    this.#reawakening = new Reawakening(known, this.#options, (association) => {
      // It may have come by itself, or have been revoked, in the meantime.
      if (association.state !== 'idle' || this.#endpoint.association(association.peerKey) !== association) return false
      this.#endpoint.call(association, this.#options.clock.now())
      this.#engine.kick()
      return true
    })
  }

  #event(event: TunnelEvent): void {
    if (event.kind === 'timestamp') this.#peers.took(event.association)
    else if (event.kind === 'established') {
      this.#handshakes++
      this.#peers.attach(event.association)
    } else if (event.kind !== 'roamed') return
    this.#writer.touched(event.association)
  }

  #acceptMqtt(socket: TcpSocket): void {
    const { directory } = this.#options.registry
    const device = directory.byAddress(socket.remoteAddress)
    if (device?.kind !== 'device' || !directory.isAdmitted(device, this.#options.clock.wall())) {
      socket.reset()
      return
    }
    socket.setNoDelay(true)
    this.#mqtt.accept(device, socket)
  }

  #changed(change: RegistryChange): void {
    if (change.kind === 'grants') {
      this.#dropForbiddenFlows()
      return
    }
    const { principal } = change
    if (this.#peers.refresh(principal) !== 'kept') this.#mqtt.cut(principal.id)
    if (change.kind === 'revoked') this.#presence.forget(principal.id)
    // Tags and groups decide what grants mean.
    if (change.kind === 'changed') this.#dropForbiddenFlows()
    this.#engine.kick()
  }

  #dropForbiddenFlows(): void {
    const policy = this.#policy
    this.#engine.plane.revoke((flow) => !policy.stillPermits(flow), this.#options.clock.now())
  }

  get #policy(): GatewayPolicy {
    return this.#engine.plane.filter.policy as GatewayPolicy
  }

  #armUpkeep(): void {
    this.#upkeep = this.#options.timers.setTimer(upkeepEvery, () => {
      this.#dropExpired()
      this.#journal.flush(this.#options.clock.now())
      this.#armUpkeep()
      void this.#writer.sweep()
    })
  }

  /** A certificate or registration that has ended takes its tunnel with it. */
  #dropExpired(): void {
    const { directory } = this.#options.registry
    const wall = this.#options.clock.wall()
    for (const [id] of [...this.#peers.entries()]) {
      const principal = directory.byId(id)
      if (principal !== undefined && directory.isAdmitted(principal, wall)) continue
      this.#peers.drop(id)
      this.#mqtt.cut(id)
    }
  }
}

interface GatewayParts {
  options: GatewayOptions
  engine: PortableEngine
  endpoint: WireguardEndpoint
  netstack: Netstack
  peers: Peers
  presence: PresenceTable
  writer: PresenceWriter
  journal: FlowJournal
  stun: StunResponder
  mqtt: MqttServer
  sink: ReadingSink
}

/** Puts the parts together around one engine. */
async function assemble(
  options: GatewayOptions,
  on: { event(event: TunnelEvent): void; goodbye(device: Principal): void },
): Promise<GatewayParts> {
  const { registry, suite, clock, timers, log, mqttPort } = options
  const { directory, fleet } = registry
  const stored = await registry.presence.loadTimestamps()
  const timestamps = new Map(stored.map(({ tunnelKey, timestamp }) => [tunnelKey, timestamp]))
  const journal = new FlowJournal({ audit: registry.audit, directory, clock, log })
  const policy = new GatewayPolicy({ registry, clock, journal, mqttPort })
  const stun = new StunResponder()
  const sink = new ReadingSink({ ...registry, suite, log })
  let endpoint!: WireguardEndpoint
  const engine = await PortableEngine.open({
    clock,
    timers,
    bind: options.bind,
    filter: new FlowFilter(
      policy,
      suite.random(4).reduce((seed, byte) => (seed << 8) | byte, 0),
      flowLimits,
    ),
    event: on.event,
    noise(ports) {
      endpoint = new WireguardEndpoint({
        suite,
        staticKey: options.staticKey,
        ports,
        nextTimestamp: options.nextTimestamp,
        admit: (publicKey) => Peers.admit(directory, clock, timestamps, publicKey),
      })
      return endpoint
    },
    ports: {
      deliver: (packet) => netstack.input(packet),
      spoofed: (packet, from, now) => journal.spoofed(packet, from, now),
      stun(datagram, from, reply) {
        const answer = stun.answer(datagram, from, clock.now())
        if (answer) reply(answer)
      },
    },
  })
  const netstack = new Netstack({
    suite,
    clock,
    addresses: fleet.broker,
    limits: netstackLimits,
    transmit: (packet) => engine.send(packet),
    wake: (at) => engine.driver.wake(at),
    defer: (task) => setImmediate(task),
  })
  engine.drive(netstack)
  engine.plane.setLocal(fleet.broker)
  const mqtt = await MqttServer.start({ sink, log, goodbye: on.goodbye })
  log.debug({ key: toHex(endpoint.publicKey), inner: fleet.broker }, 'gateway ready')
  const peers = new Peers({ directory, clock, endpoint, plane: engine.plane, timestamps })
  const presence = new PresenceTable(clock)
  const writer = new PresenceWriter({ registry, peers, presence, timers, log })
  return { options, engine, endpoint, netstack, peers, presence, writer, journal, stun, mqtt, sink }
}
