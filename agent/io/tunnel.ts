import type { AgentConfig } from '#agent/core/agent-config.ts'
import { AgentCore, type AgentEvent } from '#agent/core/agent-core.ts'
import type { DataWishes } from '#agent/core/data-keeper.ts'
import type { DirectOptions } from '#agent/core/direct/direct-host.ts'
import type { EspHub, IkeIdentity } from '#agent/core/esp-hub.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { toAditError } from '#shared/errors.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { NetstackLimits } from '#shared/netstack/options.ts'
import { DefectWatch } from '#shared/platform/defect-watch.ts'
import { Driver } from '#shared/platform/driver.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Nat64 } from '#shared/platform/nat64.ts'
import { NetworkWatch } from '#shared/platform/network-watch.ts'
import { backgroundTimers, type Timers } from '#shared/platform/timers.ts'
import type { Clock, Duration } from '#shared/time/instant.ts'
import { type EndpointPorts, type SuiteName, sameEndpoint } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import type { BrokerApi } from './broker-api.ts'
import { BrokerPlaces } from './broker-places.ts'
import { ConfigRefresh } from './config-refresh.ts'
import { DataCare } from './data-care.ts'
import type { Lookup } from './endpoint-resolver.ts'
import { FastRoad, type FastRoadMeter, type TunWishes } from './fast-road.ts'
import type { Floors } from './floors.ts'
import { HealthLook } from './health-look.ts'
import type { Finding } from './outer-finding.ts'
import type { FindProxy } from './outer-proxy.ts'
import { OuterWays } from './outer-ways.ts'
import { outsideAddresses } from './outside-addresses.ts'
import { PortMapper } from './port-mapping.ts'
import { RecordKeeper } from './record-keeper.ts'
import type { AgentKeys, AgentRecord, StateFolder } from './state-folder.ts'

type HubMaker = (ports: EndpointPorts, onFailure: (failure: NegotiationFailure) => void, lane: DataLane | undefined) => EspHub

export interface TunnelOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly folder: StateFolder
  readonly keys: AgentKeys
  readonly record: AgentRecord
  readonly floors: Floors
  /** The API under the certificate of the moment; asked for anew each time, since certificates are renewed. */
  api(): BrokerApi
  /** Where hosts of the API have proven themselves. */
  provenAddresses?(): ReadonlyMap<string, string>
  /** DER of the fleet's root. */
  readonly root: Uint8Array
  readonly proxy: FindProxy
  /** The protocols of the tunnel. For esp, `ike` says who we are under the certificate of the moment. */
  readonly speaks?: SuiteName
  /** What the tunnel's data may cost, as the device's own configuration says. */
  readonly data?: DataWishes
  ike?(): IkeIdentity
  /** Associations with other ends (DESIGN D6); `local`: the UDP port of the moment. None unless given. */
  direct?(local: () => Endpoint | undefined, mapped: () => readonly Endpoint[]): DirectOptions
  /** The kernel's part in the tunnel, by a TUN of this name; undefined: none. */
  readonly tun?: TunWishes | undefined
  /** Whether gateways on the way are asked for a port that leads to ours. */
  readonly portMapping?: boolean
  onEvent?(event: AgentEvent): void
  /** The broker's word has come, new or not: it may be about our certificate, or the fleet's roots. True: to be told what came of it. */
  heard?(config: AgentConfig): Promise<boolean>
  /** The broker lets our certificate do nothing. True: it is another one by now, and the broker is to be asked again. */
  refused?(): Promise<boolean>
  /** Something on the way was met that a person may want to know of. */
  onFinding?(finding: Finding): void
  /** How often the broker will hear of us from now on, at the least. */
  onPace?(pace: Duration): void
  /** One came from outside, true or not, or goes there. */
  onDatagram?(): void
  /** Where the netstack's defaults are too large. */
  limits?: Partial<NetstackLimits>
  /** For tests. */
  readonly lookup?: Lookup
  readonly nat64?: Nat64
}

/**
 * An AgentCore with its ways to the outside, timers and a memory: what both roles run. The tunnel starts from what the state folder knows, and
 * DNS and API correct it in the background, so that neither can keep it from coming up (F-08).
 */
export class Tunnel {
  readonly core: AgentCore
  readonly #look: HealthLook
  readonly #options: TunnelOptions
  readonly #driver: Driver
  readonly #road: FastRoad | undefined
  #hub: EspHub | undefined
  #refusal: NegotiationFailure | undefined
  #outer: OuterWays | undefined
  #network: NetworkWatch | undefined
  #care: DataCare | undefined
  #portMapping: PortMapper | undefined
  readonly #defects: DefectWatch
  readonly #keeper: RecordKeeper
  readonly #places: BrokerPlaces
  readonly #refresh: ConfigRefresh

  private constructor(options: TunnelOptions, hub: HubMaker | undefined, road: FastRoad | undefined) {
    const { suite, clock, timers, keys, record, floors, limits } = options
    const direct = options.direct?.(
      () => this.#outer?.local,
      () => this.#portMapping?.externals ?? [],
    )
    this.#options = options
    this.#road = road
    this.#defects = new DefectWatch(options.log, clock)
    this.#keeper = new RecordKeeper(record, options.folder, options.log)
    this.#places = new BrokerPlaces({
      ...{ keeper: this.#keeper, timers, nat64: options.nat64, lookup: options.lookup },
      isUp: () => this.core.state === 'up' && this.core.health.state === 'up',
      onChange: (config) => this.#placesChanged(config),
    })
    this.#driver = new Driver(clock, timers)
    this.#refresh = new ConfigRefresh({
      ...{ suite, timers, floors, log: options.log, keeper: this.#keeper },
      api: () => options.api(),
      heard: async (config) => options.heard?.(config),
      refused: async () => options.refused?.(),
      proven: () => this.#places.proven(options.provenAddresses?.().values() ?? []),
      onChange: (config) => {
        // DNS comes after: what it says is taken up when it is there.
        this.#configure(config)
        this.#places.ask()
      },
    })
    this.core = new AgentCore({
      suite,
      clock,
      tunnelKey: keys.tunnel,
      netstack: { defer: (task) => setImmediate(task), ...(limits && { limits }) },
      ...(hub && { hub: (tunnel) => (this.#hub = hub(tunnel, (failure) => this.#refused(failure), road?.sessions)) }),
      ...(direct && { direct: { ...direct, wayTo: (place: Endpoint) => this.#places.wayTo(place) } }),
      ...(road && { kernel: road.kernel(() => this.core.netstack) }),
      ports: {
        send: (datagram, to) => {
          options.onDatagram?.()
          if (this.#outer?.send(datagram, to)) this.#care?.meter.countSent(datagram.length, to)
        },
        rebind: () => this.#outer?.rebind(),
        nextTimestamp: () => floors.nextTimestamp(),
        wake: (at) => this.#driver.wake(at),
        event: (event) => this.#event(event),
      },
    })
    this.#look = new HealthLook({ core: this.core, clock, timers: backgroundTimers })
  }

  /** Begins at once, and without waiting for anything: `onEvent` tells when it is up. */
  static async open(options: TunnelOptions): Promise<Tunnel> {
    const { suite, clock, timers, log, folder, data, onPace, tun } = options
    const road = tun && (await FastRoad.open({ clock, timers, log, tun, folder: folder.path }))
    const tunnel = new Tunnel(options, options.speaks === 'esp' ? await espHub(options) : undefined, road)
    tunnel.#outer = await tunnel.#openWays()
    tunnel.#driver.add(tunnel.core)
    road?.start(tunnel.core, tunnel.#meter)
    if (options.portMapping) {
      const internalPort = tunnel.#outer.local.port
      // Whoever cannot have a socket for it does without.
      tunnel.#portMapping = await PortMapper.open({ suite, clock, timers, log, internalPort }).catch(() => undefined)
    }
    tunnel.#care = await DataCare.open({
      ...{ suite, clock, timers, log, folder, core: tunnel.core, own: data },
      ...(onPace && { onPace }),
    })
    tunnel.#network = new NetworkWatch({
      timers: backgroundTimers,
      onChange: () => tunnel.#networkChanged(),
      ...(road && { own: { name: road.name, onChange: () => road.renew() } }),
    })
    const { config } = options.record
    if (config) tunnel.#configure(config)
    tunnel.#places.ask()
    void tunnel.#refresh.ask()
    return tunnel
  }

  get config(): AgentConfig | undefined {
    return this.#keeper.record.config
  }

  /** What the tunnel's data costs and may cost. */
  get care(): DataCare | undefined {
    return this.#care
  }

  /** The ways to the broker, and what was met on them. */
  get outer(): OuterWays | undefined {
    return this.#outer
  }

  /** The prefix of the NAT64 through which the broker is reached, if it is. */
  get nat64(): string | undefined {
    const endpoint = this.core.association?.endpoint
    return endpoint && this.#places.nat64Of(endpoint)
  }

  /** The kernel's interface in the tunnel, if there is one. */
  get kernel(): { name: string; problem: string | null } | undefined {
    return this.#road && { name: this.#road.name, problem: this.#road.problem ?? null }
  }

  /** The gateway's port that leads to ours, where one was given. */
  get portMapping(): PortMapper | undefined {
    return this.#portMapping
  }

  /** Why the last negotiation of the esp suite came to nothing, while the tunnel is not up. */
  get refusal(): NegotiationFailure | undefined {
    return this.core.state === 'up' ? undefined : this.#refusal
  }

  get record(): AgentRecord {
    return this.#keeper.record
  }

  /** Somebody is about to be shown `core.health`: see `HealthLook`. */
  look(): Promise<void> {
    return this.#look.look()
  }

  /** The broker says that the configuration has changed. */
  refresh(): void {
    this.#refresh.changed()
  }

  /** The certificate was renewed: what is negotiated from now on is signed by it. */
  renewed(): void {
    const { ike } = this.#options
    if (ike) this.#hub?.setIdentity(ike())
  }

  async close(): Promise<void> {
    this.#refresh.close()
    this.#places.close()
    this.#network?.close()
    this.#look.close()
    this.core.stop()
    this.#driver.close()
    await this.#care?.close()
    await this.#portMapping?.close()
    await this.#road?.undo()
    await this.#outer?.close()
    await this.#road?.close()
    await this.#keeper.saved()
  }

  #configure(config: AgentConfig): void {
    this.core.configure(config, this.#known(config), this.#places.last)
    this.#configureRoad(config)
    this.#care?.configured(config)
  }

  #placesChanged(config: AgentConfig): void {
    this.core.setEndpoints(this.#known(config), this.#places.last)
    this.#configureRoad(config)
  }

  #configureRoad(config: AgentConfig): void {
    const outside = outsideAddresses(this.#keeper.record, this.#options.proxy)
    this.#road?.configure(config, [...this.#places.through(outside)])
  }

  /** Streams after UDP: they are for where it is blocked. */
  #known(config: AgentConfig): Endpoint[] {
    const streams = this.#outer?.setStreams(config.broker.streams ?? []) ?? []
    return [...this.#places.endpoints(config), ...(this.#places.isAwaited(config) ? [] : streams)]
  }

  get #brokerPlaces(): Endpoint[] {
    const { config } = this
    const used = this.core.association?.endpoint
    return [...(used ? [used] : []), ...(config ? this.#places.endpoints(config) : [])]
  }

  async #openWays(): Promise<OuterWays> {
    const { suite, clock, timers, log, root, proxy, floors, onFinding } = this.#options
    return OuterWays.open({
      ...{ suite, clock, timers, log, proxy },
      lane: this.#road?.lane,
      root: () => root,
      time: () => floors.time.floor,
      resolve: (host) => this.#places.resolve(host),
      onDatagram: (datagram, from) => this.#received(datagram, from),
      onRebound: () => this.#portMapping?.setInternalPort(this.#outer!.local.port),
      onReopened: (endpoint) => this.#showOurselves(endpoint),
      onReleased: () => this.core.nudge(),
      onFinding: (finding) => onFinding?.(finding),
      isBroker: (endpoint) => this.#brokerPlaces.some((one) => sameEndpoint(one, endpoint)),
      isPath: (endpoint) => this.core.state === 'up' && sameEndpoint(this.core.association?.endpoint, endpoint),
    })
  }

  /** To the broker a stream that was made anew is another place, to which it sends nothing before it has heard us there. */
  #showOurselves(endpoint: Endpoint): void {
    const { association } = this.core
    if (this.core.state !== 'up' || association === undefined || !sameEndpoint(association.endpoint, endpoint)) return
    this.core.endpoint.sendKeepalive(association, this.#options.clock.now())
    // A broker that was restarted knows no session of ours, and cannot call where a stream was.
    this.core.networkChanged()
    this.#driver.kick()
  }

  /** What the fast road tells. */
  get #meter(): FastRoadMeter {
    return {
      received: (datagram, from) => this.#received(datagram, from),
      countReceived: (bytes, from, datagrams) => this.#care?.meter.countReceived(bytes, from, datagrams),
      countSent: (bytes, to, datagrams) => this.#care?.meter.countSent(bytes, to, datagrams),
    }
  }

  #received(datagram: Uint8Array, from: Endpoint): void {
    this.#options.onDatagram?.()
    this.#care?.meter.countReceived(datagram.length, from)
    try {
      this.core.receive(datagram, from)
    } catch (error) {
      this.core.counters.count(DropReason.Defect)
      this.#defects.met(error)
    }
  }

  #networkChanged(): void {
    this.#road?.renew()
    this.#outer?.networkChanged()
    void this.#portMapping?.networkChanged()
    this.core.networkChanged()
    this.#places.networkChanged()
  }

  #event(event: AgentEvent): void {
    if (event.kind === 'up' || event.kind === 'roamed') {
      this.#refresh.reached()
      // What a stream is called means nothing at the next start.
      if (!isCarried(event.endpoint)) {
        this.#outer?.answeredByUdp()
        this.#places.answered(event.endpoint)
        void this.#portMapping?.setPath(event.endpoint.address)
      }
    }
    this.#care?.event(event)
    if (event.kind === 'connecting') this.#places.ask()
    if (event.kind === 'ask-timestamp') void this.#askTimestamp()
    this.#options.onEvent?.(event)
  }

  /** Our clock may be behind the timestamps that the broker remembers, and the broker's keys or endpoints may have changed (D5). */
  async #askTimestamp(): Promise<void> {
    try {
      const last = await this.#options.api().timestamp()
      if (last) this.#options.floors.raiseTimestamp(last)
      await this.#refresh.ask()
      this.core.nudge()
    } catch (error) {
      this.#options.log.debug({ code: toAditError(error).code }, 'the API does not answer either')
    }
  }

  #refused(failure: NegotiationFailure): void {
    this.#refusal = failure
    const { code, message, mendHere } = failure
    this.#options.log.warn({ code }, `${message} Here: ${mendHere}.`)
  }
}

/** Loaded only where it is spoken: agents are counted in megabytes. */
async function espHub({ suite, ike, floors }: TunnelOptions): Promise<HubMaker> {
  if (ike === undefined) throw new TypeError('the esp suite needs an identity')
  const { EspHub } = await import('#agent/core/esp-hub.ts')
  return (ports, onFailure, lane) =>
    new EspHub({
      suite,
      ports,
      lane,
      identity: ike(),
      // Never the clock: one that stands in 2099 would have every broker's certificate expired.
      time: () => floors.time.floor,
      onFailure,
    })
}
