import type { StatementSource } from '#broker/fleet/statement-source.ts'
import { EndpointEvidence } from '#broker/gateway/endpoint-evidence.ts'
import { FlowJournal } from '#broker/gateway/flow-journal.ts'
import { GatewayPolicy, type GatewayPolicyOptions } from '#broker/gateway/flow-policy.ts'
import { Ipsec, type IpsecOptions } from '#broker/gateway/ipsec.ts'
import { PeerDrops } from '#broker/gateway/peer-drops.ts'
import { Peers } from '#broker/gateway/peers.ts'
import { PresenceTable } from '#broker/gateway/presence.ts'
import { PresenceWriter } from '#broker/gateway/presence-writer.ts'
import { initiationsPerSecond } from '#broker/gateway/reawakening.ts'
import { StatementCourier } from '#broker/gateway/statement-courier.ts'
import { StreamDoor, type StreamLimits } from '#broker/gateway/stream-door.ts'
import { StunResponder } from '#broker/gateway/stun-responder.ts'
import { StunSockets, sharesPort } from '#broker/gateway/stun-sockets.ts'
import { TakenTimestamps } from '#broker/gateway/taken-timestamps.ts'
import { Withdrawals } from '#broker/gateway/withdrawals.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { MqttServer } from '#broker/telemetry/mqtt-server.ts'
import { ReadingSink } from '#broker/telemetry/reading-sink.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { FlowFilter } from '#shared/dataplane/flow-filter.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { DefectWatch } from '#shared/platform/defect-watch.ts'
import type { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import type { Log } from '#shared/platform/log.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import type { Timers } from '#shared/platform/timers.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { PeerEndpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import { type Admission, WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'

type GatewayStores =
  | 'directory'
  | 'policy'
  | 'audit'
  | 'presence'
  | 'telemetry'
  | 'hostKeys'
  | 'fleet'
  | 'certificates'
  | 'peerSecrets'
  | 'negotiations'
  | 'dataUse'
  | 'onChange'

export interface GatewayOptions {
  registry: Pick<Registry, GatewayStores>
  suite: Suite
  clock: Clock
  timers: Timers
  log: Log
  staticKey: KeyPair
  /** The broker's own TAI64N for its initiations, strictly growing over restarts too. */
  nextTimestamp(): Uint8Array
  bind: { address?: string; port: number }
  /** Where STUN is answered besides, by RFC 5780: one endpoint of each family at most. */
  stunAlternates?: readonly Endpoint[]
  mqttPort: number
  /** Largest inner packet that agents may come to use, bytes; default 1280. Their probes are answered in kind. */
  innerMtu?: number
  /** Opens the port on a faster road than ours; undefined where this machine has none. */
  lane?(bind: LaneBind): Promise<LinuxLane | undefined>
  /** With a TUN: sets its addresses and routes. */
  hostNetwork?(tun: string): Promise<{ undo(): Promise<void> }>
  /** With a TUN: which ports the host's kernel may reach, and which of its own may be reached. */
  host?: GatewayPolicyOptions['host']
  /** Where the defaults for WebSockets and TCP are not wanted. */
  streamLimits?: Partial<StreamLimits>
  /** The esp suite on the same port; left out: the noise suite alone. */
  ipsec?: Pick<IpsecOptions, 'authority' | 'settings'>
  /** What devices are told of others; left out: nothing. */
  statements?: StatementSource
  /** Numbers of the devices that have yet to follow the fleet's authorities; whether that one is of them, where it is given. */
  behind?(id?: number): Promise<ReadonlySet<number>>
}

/** Where a lane's port is to be. */
export interface LaneBind {
  readonly address?: string
  readonly port: number
  readonly shared?: boolean
}

/** Four flows each of 65,000 peers; none of them may hold so many that a few could fill the table. */
const flowLimits = { flows: 262_144, perInitiator: 1_024 }

/**
 * Connections that a broker may hold: two for each of 30,000 devices; and how little each may buffer, since batches are small. Resets go
 * to devices alone, whose streams a restart has forgotten: enough of them for all that are called back in a second, and some.
 */
export const netstackLimits = {
  connections: 65_536,
  sendBuffer: 16 << 10,
  receiveBuffer: 256 << 10,
  backlog: 4_096,
  errorsPerSecond: 2 * initiationsPerSecond,
}

/** What a gateway is made of. */
export interface GatewayParts {
  options: GatewayOptions
  engine: PacketEngine
  noise: WireguardEndpoint
  ipsec: Ipsec | undefined
  /** Of each suite. */
  endpoints: readonly PeerEndpoint[]
  netstack: Netstack
  peers: Peers
  taken: TakenTimestamps
  policy: GatewayPolicy
  presence: PresenceTable
  evidence: EndpointEvidence
  drops: PeerDrops
  writer: PresenceWriter
  withdrawals: Withdrawals
  journal: FlowJournal
  stun: StunResponder
  stunSockets: StunSockets
  streams: StreamDoor
  mqtt: MqttServer
  sink: ReadingSink
  courier: StatementCourier | undefined
}

/** Puts the parts together around one engine. */
export async function assembleGateway(
  options: GatewayOptions,
  on: {
    event(event: TunnelEvent): void
    came(device: Principal): void
    goodbye(device: Principal): void
    pace(device: Principal, seconds: number): void
  },
): Promise<GatewayParts> {
  const { registry, suite, clock, timers, log, mqttPort } = options
  const { directory, fleet } = registry
  const taken = await TakenTimestamps.load(registry.presence)
  const journal = new FlowJournal({ audit: registry.audit, directory, clock, log })
  const policy = new GatewayPolicy({ registry, clock, journal, mqttPort, host: options.host })
  const stun = new StunResponder()
  const evidence = new EndpointEvidence()
  const drops = new PeerDrops(clock)
  const alternates = options.stunAlternates ?? []
  let stunSockets: StunSockets | undefined
  const streams = new StreamDoor({
    clock,
    timers,
    receive: (datagram, from) => engine.receive(datagram, from),
    ...(options.streamLimits && { limits: options.streamLimits }),
  })
  const sink = new ReadingSink({ ...registry, suite, log })
  const seenAt = (endpoint: Endpoint): Endpoint => (isCarried(endpoint) && streams.peerOf(endpoint)) || endpoint
  const ipsec = options.ipsec && (await Ipsec.open({ ...options, ...options.ipsec, seenAt }))
  let noise!: WireguardEndpoint
  const bind = { ...options.bind, shared: sharesPort(options.bind, alternates) }
  const lane = await options.lane?.(bind)
  const defects = new DefectWatch(log, clock)
  const engine: PacketEngine = await PacketEngine.open({
    clock,
    timers,
    carried: streams,
    bind,
    lane,
    stack: () => netstack,
    bindBare: options.ipsec?.settings.port500,
    filter: new FlowFilter(
      policy,
      suite.random(4).reduce((seed, byte) => (seed << 8) | byte, 0),
      flowLimits,
    ),
    event: on.event,
    defect: (error) => defects.met(error),
    meter: evidence,
    noise(ports, sessions) {
      noise = new WireguardEndpoint({
        suite,
        staticKey: options.staticKey,
        ports,
        lane: sessions,
        nextTimestamp: options.nextTimestamp,
        admit: (publicKey) => admission(publicKey, options, taken),
      })
      return noise
    },
    esp: ipsec && ((ports, sessions) => ipsec.listen(ports, sessions)),
    ports: {
      deliver: (packet) => netstack.input(packet),
      spoofed(packet, from, now) {
        drops.count(from, 'inner-source-refused')
        journal.spoofed(packet, from, now)
      },
      tooBig: (to) => drops.count(to, 'inner-too-big'),
      stun(datagram, from) {
        if (!isCarried(from)) stunSockets?.asked(datagram, from)
        else answerInStream(datagram, from)
      },
    },
  })
  /** With the address at which the stream's connection shows itself. */
  const answerInStream = (datagram: Uint8Array, from: Endpoint): void => {
    const peer = streams.peerOf(from)
    const reply = peer && stun.answer(datagram, peer, clock.now())
    if (reply) streams.send(reply.datagram, from)
  }
  stunSockets = await openStunSockets(engine, stun, alternates, options)
  const netstack = new Netstack({
    suite,
    clock,
    addresses: fleet.broker,
    limits: netstackLimits,
    mtu: options.innerMtu ?? 1280,
    besideKernel: lane?.tun !== undefined,
    transmit: (packet) => engine.send(packet),
    wake: (at) => engine.driver.wake(at),
    defer: (task) => setImmediate(task),
  })
  engine.drive(netstack)
  engine.plane.setLocal(fleet.broker)
  const courier = options.statements && new StatementCourier({ source: options.statements, registry, timers })
  const mqtt = await MqttServer.start({
    sink,
    log,
    came: on.came,
    goodbye: on.goodbye,
    pace: on.pace,
    ...(courier && { listening: (device, held, send) => courier.listen(device.id, held, send) }),
  })
  log.debug({ key: toHex(noise.publicKey), inner: fleet.broker }, 'gateway ready')
  const endpoints: PeerEndpoint[] = ipsec ? [noise, ipsec.endpoint] : [noise]
  const peers = new Peers({ directory, clock, endpoints, plane: engine.plane })
  const presence = new PresenceTable(clock, { describe: (endpoint) => streams.describe(endpoint), places: evidence })
  const writer = new PresenceWriter({ registry, peers, presence, taken, timers, log })
  return {
    options,
    engine,
    noise,
    ipsec,
    endpoints,
    netstack,
    peers,
    taken,
    policy,
    presence,
    evidence,
    drops,
    writer,
    withdrawals: new Withdrawals({ peers, directory, netstack, timers }),
    journal,
    stun,
    stunSockets,
    streams,
    mqtt,
    sink,
    courier,
  }
}

async function openStunSockets(
  engine: PacketEngine,
  responder: StunResponder,
  alternates: readonly Endpoint[],
  { bind, clock, log }: GatewayOptions,
): Promise<StunSockets> {
  const transmit = (datagram: Uint8Array, to: Endpoint): void => void engine.plane.ports.transmit(datagram, to)
  const tunnelled = (datagram: Uint8Array, from: Endpoint): void => {
    engine.plane.receive(datagram, from, clock.now())
    engine.kick()
  }
  const place = { ...bind, port: engine.local.port }
  try {
    return await StunSockets.open({ bind: place, alternates, responder, clock, log, transmit, tunnelled })
  } catch (error) {
    await engine.close()
    throw error
  }
}

/** The answer to an initiation by a key that has no association: only a valid binding lets it in (DESIGN D4). */
function admission(publicKey: Uint8Array, options: GatewayOptions, taken: TakenTimestamps): Admission | undefined {
  const { registry, clock } = options
  const key = toHex(publicKey)
  const principal = registry.directory.byTunnelKey(key)
  if (principal === undefined || !registry.directory.isAdmitted(principal, clock.wall())) return undefined
  return { lastTimestamp: taken.of(key) }
}
