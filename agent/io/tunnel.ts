import type { AgentConfig } from '#agent/core/agent-config.ts'
import { AgentCore, type AgentEvent } from '#agent/core/agent-core.ts'
import type { DataWishes } from '#agent/core/data-keeper.ts'
import type { DirectOptions } from '#agent/core/direct/direct-peers.ts'
import type { EspHub, IkeIdentity } from '#agent/core/esp-hub.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { NetstackLimits } from '#shared/netstack/options.ts'
import { Driver } from '#shared/platform/driver.ts'
import type { Log } from '#shared/platform/log.ts'
import { NetworkWatch } from '#shared/platform/network-watch.ts'
import { resolveHost } from '#shared/platform/resolve-host.ts'
import { backgroundTimers, type Timer, type Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Clock, type Duration, days, hours, milliseconds, seconds } from '#shared/time/instant.ts'
import { type EndpointPorts, type SuiteName, sameEndpoint } from '#shared/tunnel/association.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import type { BrokerApi } from './broker-api.ts'
import { DataCare } from './data-care.ts'
import { addressesOf, knownEndpoints, type Lookup, proveAddress, resolveHosts } from './endpoint-resolver.ts'
import type { Floors } from './floors.ts'
import { HealthLook } from './health-look.ts'
import type { Finding } from './outer-finding.ts'
import type { FindProxy } from './outer-proxy.ts'
import { OuterWays } from './outer-ways.ts'
import { PortMapper } from './port-mapping.ts'
import type { AgentKeys, AgentRecord, StateFolder } from './state-folder.ts'

type HubMaker = (ports: EndpointPorts, onFailure: (failure: NegotiationFailure) => void) => EspHub

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
  /** Whether gateways on the way are asked for a port that leads to ours. */
  readonly portMapping?: boolean
  onEvent?(event: AgentEvent): void
  /** Something on the way was met that a person may want to know of. */
  onFinding?(finding: Finding): void
  /** How often the broker will hear of us from now on, at the least. */
  onPace?(pace: Duration): void
  /** Where the netstack's defaults are too large. */
  limits?: Partial<NetstackLimits>
  /** For tests. */
  lookup?: Lookup
}

/** How often an agent that is up asks whether its configuration has changed; jittered. */
const REFRESH_EVERY = hours(6)
/** Likewise where the broker says by itself that it has: a TLS connection four times a day costs more than the tunnel. */
const REFRESH_TOLD_EVERY = days(3)
/** How often DNS is asked again while the broker does not answer. */
const RESOLVE_EVERY = seconds(30)

/**
 * An AgentCore with its ways to the outside, timers and a memory: what both roles run. The tunnel starts from what the state folder knows, and
 * DNS and API correct it in the background, so that neither can keep it from coming up (F-08).
 */
export class Tunnel {
  readonly core: AgentCore
  readonly #look: HealthLook
  readonly #options: TunnelOptions
  readonly #driver: Driver
  readonly #backoff: Backoff
  #hub: EspHub | undefined
  #refusal: NegotiationFailure | undefined
  #outer: OuterWays | undefined
  #network: NetworkWatch | undefined
  #care: DataCare | undefined
  #portMapping: PortMapper | undefined
  #record: AgentRecord
  #refresh: Timer | undefined
  #resolve: Timer | undefined
  #refreshing = false
  #saving: Promise<void> = Promise.resolve()
  #closed = false

  private constructor(options: TunnelOptions, hub: HubMaker | undefined) {
    const { suite, clock, timers, keys, record, floors, limits } = options
    // Beside a hub of the esp suite streams were seen to break off as they changed over: there all goes through the hub.
    const wishes = options.speaks === 'esp' ? undefined : options.direct
    const direct = wishes?.(
      () => this.#outer?.local,
      () => this.#portMapping?.externals ?? [],
    )
    this.#options = options
    this.#record = record
    this.#driver = new Driver(clock, timers)
    this.#backoff = new Backoff(
      { base: seconds(1), cap: seconds(60) },
      uniform((length) => suite.random(length)),
    )
    this.core = new AgentCore({
      suite,
      clock,
      tunnelKey: keys.tunnel,
      netstack: { defer: (task) => setImmediate(task), ...(limits && { limits }) },
      ...(hub && { hub: (tunnel) => (this.#hub = hub(tunnel, (failure) => this.#refused(failure))) }),
      ...(direct && { direct }),
      ports: {
        send: (datagram, to) => {
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
    const tunnel = new Tunnel(options, options.speaks === 'esp' ? await espHub(options) : undefined)
    tunnel.#outer = await tunnel.#openWays()
    tunnel.#driver.add(tunnel.core)
    const { suite, clock, timers, log, folder, data, onPace } = options
    if (options.portMapping) {
      const internalPort = tunnel.#outer.local.port
      // Whoever cannot have a socket for it does without.
      tunnel.#portMapping = await PortMapper.open({ suite, clock, timers, log, internalPort }).catch(() => undefined)
    }
    tunnel.#care = await DataCare.open({
      ...{ suite, clock, timers, log, folder, core: tunnel.core, own: data },
      ...(onPace && { onPace }),
    })
    tunnel.#network = new NetworkWatch({ timers: backgroundTimers, onChange: () => tunnel.#networkChanged() })
    const { config } = options.record
    if (config) tunnel.#configure(config)
    void tunnel.#resolveHosts()
    void tunnel.#refreshConfig()
    return tunnel
  }

  get config(): AgentConfig | undefined {
    return this.#record.config
  }

  /** What the tunnel's data costs and may cost. */
  get care(): DataCare | undefined {
    return this.#care
  }

  /** The ways to the broker, and what was met on them. */
  get outer(): OuterWays | undefined {
    return this.#outer
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
    return this.#record
  }

  /** Somebody is about to be shown `core.health`: see `HealthLook`. */
  look(): Promise<void> {
    return this.#look.look()
  }

  /** The broker says that the configuration has changed. */
  refresh(): void {
    void this.#refreshConfig()
  }

  /** The certificate was renewed: what is negotiated from now on is signed by it. */
  renewed(): void {
    const { ike } = this.#options
    if (ike) this.#hub?.setIdentity(ike())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#refresh?.clear()
    this.#resolve?.clear()
    this.#network?.close()
    this.#look.close()
    this.core.stop()
    this.#driver.close()
    await this.#care?.close()
    await this.#portMapping?.close()
    await this.#outer?.close()
    await this.#saving
  }

  #configure(config: AgentConfig): void {
    this.core.configure(config, this.#known(config), this.#record.lastEndpoint)
    this.#care?.configured(config)
  }

  /** Streams after UDP: they are for where it is blocked. */
  #known(config: AgentConfig): Endpoint[] {
    const streams = this.#outer?.setStreams(config.broker.streams ?? []) ?? []
    return [...knownEndpoints(config.broker.endpoints, this.#record), ...streams]
  }

  async #openWays(): Promise<OuterWays> {
    const { suite, clock, timers, log, root, proxy, floors, onFinding, lookup } = this.#options
    return OuterWays.open({
      ...{ suite, clock, timers, log, proxy },
      root: () => root,
      time: () => floors.time.floor,
      resolve: (host) => resolveHost(host, { lastGood: addressesOf(host, this.#record), ...(lookup && { lookup }) }),
      onDatagram: (datagram, from) => {
        this.#care?.meter.countReceived(datagram.length, from)
        this.core.receive(datagram, from)
      },
      onRebound: () => this.#portMapping?.setInternalPort(this.#outer!.local.port),
      onReopened: (endpoint) => this.#showOurselves(endpoint),
      onReleased: () => this.core.nudge(),
      onFinding: (finding) => onFinding?.(finding),
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

  #networkChanged(): void {
    this.#outer?.networkChanged()
    void this.#portMapping?.networkChanged()
    this.core.networkChanged()
  }

  #event(event: AgentEvent): void {
    if (event.kind === 'up' || event.kind === 'roamed') {
      this.#backoff.reset()
      // What a stream is called means nothing at the next start.
      if (!isCarried(event.endpoint)) {
        this.#outer?.answeredByUdp()
        this.#remember({ lastEndpoint: event.endpoint, ...this.#proven([event.endpoint.address]) })
        void this.#portMapping?.setPath(event.endpoint.address)
      }
    }
    this.#care?.event(event)
    if (event.kind === 'connecting') void this.#resolveHosts()
    if (event.kind === 'ask-timestamp') void this.#askTimestamp()
    this.#options.onEvent?.(event)
  }

  /** Our clock may be behind the timestamps that the broker remembers, and the broker's keys or endpoints may have changed (D5). */
  async #askTimestamp(): Promise<void> {
    try {
      const last = await this.#options.api().timestamp()
      if (last) this.#options.floors.raiseTimestamp(last)
      await this.#refreshConfig()
      this.core.nudge()
    } catch (error) {
      this.#options.log.debug({ code: toAditError(error).code }, 'the API does not answer either')
    }
  }

  async #refreshConfig(): Promise<void> {
    if (this.#refreshing || this.#closed) return
    this.#refreshing = true
    this.#refresh?.clear()
    try {
      const config = await this.#options.api().config()
      if (this.#closed) return
      this.#options.floors.raiseTime(config.time)
      const changed = JSON.stringify({ ...config, time: 0 }) !== JSON.stringify({ ...this.#record.config, time: 0 })
      this.#remember(this.#proven(this.#options.provenAddresses?.().values() ?? []))
      if (changed) {
        this.#remember({ config, name: config.name })
        // DNS comes after: what it says is taken up when it is there.
        this.#configure(config)
        void this.#resolveHosts()
      }
      const every = this.#record.config?.data === undefined ? REFRESH_EVERY : REFRESH_TOLD_EVERY
      this.#schedule(milliseconds(every * (0.75 + this.#options.suite.random(1)[0]! / 510)))
    } catch (error) {
      const { code, message } = toAditError(error)
      this.#options.log.debug({ code, message }, 'the configuration could not be refreshed')
      // With a configuration there is no hurry: what it holds has worked.
      this.#schedule(this.#record.config ? milliseconds(REFRESH_EVERY / 12) : this.#backoff.next())
    } finally {
      this.#refreshing = false
    }
  }

  #schedule(delay: Parameters<Timers['setTimer']>[0]): void {
    if (!this.#closed) this.#refresh = this.#options.timers.setTimer(delay, () => void this.#refreshConfig())
  }

  async #resolveHosts(): Promise<void> {
    this.#resolve?.clear()
    const { config } = this.#record
    if (!config) return
    const before = this.#record.addresses ?? {}
    const addresses = await resolveHosts(this.#names(config), before, this.#options.timers, this.#options.lookup)
    if (this.#closed) return
    if (JSON.stringify(addresses) !== JSON.stringify(before)) {
      this.#remember({ addresses })
      this.core.setEndpoints(this.#known(config), this.#record.lastEndpoint)
    }
    if (this.core.state !== 'up') this.#resolve = this.#options.timers.setTimer(RESOLVE_EVERY, () => void this.#resolveHosts())
  }

  /** The API's names too: their last good addresses serve it while DNS is dead. */
  #names(config: AgentConfig): string[] {
    return [...config.broker.endpoints, ...this.#record.api.map((url) => `${new URL(url).hostname}:443`)]
  }

  /** The broker itself has answered from there. */
  #proven(answered: Iterable<string>): Pick<AgentRecord, 'proven'> {
    const { config } = this.#record
    if (config === undefined) return {}
    let known: Pick<AgentRecord, 'addresses' | 'proven'> = this.#record
    for (const address of answered) known = { ...known, proven: proveAddress(this.#names(config), address, known) }
    return known.proven && Object.keys(known.proven).length > 0 ? { proven: known.proven } : {}
  }

  #refused(failure: NegotiationFailure): void {
    this.#refusal = failure
    const { code, message, mendHere } = failure
    this.#options.log.warn({ code }, `${message} ${mendHere}`)
  }

  /** Saved in the background, one write after the other; a disk that refuses costs only the memory. */
  #remember(change: Partial<AgentRecord>): void {
    const before = JSON.stringify(this.#record)
    this.#record = { ...this.#record, ...change }
    if (JSON.stringify(this.#record) === before) return
    const record = this.#record
    this.#saving = this.#saving
      .then(() => this.#options.folder.saveRecord(record))
      .catch((error) => this.#options.log.warn({ code: toAditError(error).code }, 'the state folder cannot be written'))
  }
}

/** Loaded only where it is spoken: agents are counted in megabytes. */
async function espHub({ suite, ike, floors }: TunnelOptions): Promise<HubMaker> {
  if (ike === undefined) throw new TypeError('the esp suite needs an identity')
  const { EspHub } = await import('#agent/core/esp-hub.ts')
  return (ports, onFailure) =>
    new EspHub({
      suite,
      ports,
      identity: ike(),
      time: () => floors.time.now(),
      onFailure,
    })
}
