/**
 * The agent as a pure composition: one association with the broker, a netstack behind it, and what keeps the two alive: the search for
 * the broker, the care of the path to it, the NAT keepalive, the return to UDP. The device role, the operator role and the simulator's
 * thousands of devices are all this class with other ports; it opens no socket, reads no clock, sets no timer.
 *
 *   outer datagram -> receive -> demux -> endpoint.handleControl | endpoint.open -> inner roads
 *   inner roads -> seal -> send
 */
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import { type Deadline, soonest } from '#shared/machine.ts'
import type { DataMode } from '#shared/nat/data-budget.ts'
import type { Netstack } from '#shared/netstack/netstack.ts'
import { type Clock, type Duration, type Instant, minutes, seconds } from '#shared/time/instant.ts'
import type { Association, EndpointPorts, PeerEndpoint, SuiteName, TunnelEvent } from '#shared/tunnel/association.ts'
import type { LaneHeard, LaneSent } from '#shared/tunnel/data-lane.ts'
import { classify } from '#shared/wire/demux.ts'
import { carrierOf, type Endpoint } from '#shared/wire/endpoint.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'
import type { AgentConfig } from './agent-config.ts'
import type { AgentCoreOptions, AgentPath, AgentPorts, AgentState } from './agent-events.ts'
import { BrokerTie, type TieParts } from './broker-tie.ts'
import { BrokerWay } from './broker-way.ts'
import { DirectPeers } from './direct/direct-peers.ts'
import type { Hub } from './hub.ts'
import { InnerRoads } from './inner-roads.ts'
import { NoiseHub } from './noise-hub.ts'
import { PathCare, type PathCarePorts } from './path-care.ts'
import type { PathHealth } from './path-health.ts'
import { borrowScratch, returnScratch } from './scratch.ts'

export type { AgentEvent, AgentPath, AgentState } from './agent-events.ts'

const NOTHING = new Uint8Array(0)

export class AgentCore {
  /** Inner packets refused after decryption, and packets that could not be sealed. */
  readonly counters = new DropCounters()
  /** Associations with other ends, where the owner wishes for them. */
  readonly direct: DirectPeers | undefined
  readonly #hub: Hub
  readonly #clock: Clock
  readonly #ports: AgentPorts
  readonly #inner: InnerRoads
  readonly #way: BrokerWay
  readonly #care: PathCare
  readonly #tie: BrokerTie
  #association: Association | undefined
  #brokerKey = ''
  #config: AgentConfig | undefined
  #announced: Instant | undefined

  constructor({ suite, clock, tunnelKey, ports, netstack, hub, direct, kernel }: AgentCoreOptions) {
    this.#clock = clock
    this.#ports = ports
    this.#inner = new InnerRoads({
      ...{ suite, clock, netstack, kernel, counters: this.counters },
      way: () => this.#way,
      care: () => this.#care,
      direct: () => this.direct,
      association: () => this.#association,
      wake: () => this.#announce(),
    })
    const tunnel: EndpointPorts = {
      transmit: (datagram, to, association) => {
        if (!this.direct?.transmits(datagram, to, association)) this.#way.transmit(datagram, to, clock.now())
      },
      event: (event) => this.#tunnelEvent(event),
    }
    this.#hub =
      hub?.(tunnel) ??
      new NoiseHub({ suite, tunnelKey, ports: tunnel, nextTimestamp: () => ports.nextTimestamp(), lane: kernel?.sessions })
    this.#way = new BrokerWay(suite, {
      ports,
      endpoint: this.#hub.endpoint,
      association: () => this.#association,
      probe: (beside) => this.#probe(beside),
      answered: (roundTrip) => this.#care.answered('a question was answered', roundTrip, clock.now()),
      roundTrip: () => this.#care.roundTrip,
      silent: () => this.#tie.silent(clock.now()),
    })
    const care: PathCarePorts = {
      send: (packet) => this.#inner.send(packet),
      question: () => this.#way.ask(clock.now()),
      confirm: () => this.#way.confirm(clock.now()),
      repair: (repair) => this.#way.repair(repair, this.health.state, clock.now()),
      innerMtu: (bytes) => this.#inner.resize(bytes),
      changed: (health) => ports.event({ kind: 'health', health }),
      recovered: () => this.netstack.hasten(),
    }
    this.#care = new PathCare(suite, this.#hub, care, clock.now())
    const tie: TieParts = {
      hub: this.#hub,
      way: this.#way,
      care: this.#care,
      association: () => this.#association,
      probeStreams: (since) => this.netstack.probe(since),
      event: (event) => ports.event(event),
      changed: () => {
        this.direct?.relayChanged()
        kernel?.forget()
      },
    }
    this.#tie = new BrokerTie(tie, clock.now())
    this.direct =
      direct &&
      new DirectPeers(direct, {
        suite,
        clock,
        tunnelKey,
        hubEndpoint: this.endpoint,
        netstack: this.netstack,
        deliver: (packet, from) => this.#inner.give(packet, from),
        rerouted: () => kernel?.forget(),
        send: (datagram, to) => ports.send(datagram, to),
        relay: (packet) => this.#inner.relay(packet),
        isBroker: (address) => this.#inner.isBroker(address),
        relayUp: () => this.state === 'up',
        relayMtu: () => this.#care.size.innerMtu,
        reflexive: () => this.reflexive,
        nextTimestamp: () => ports.nextTimestamp(),
        wake: () => this.#announce(),
      })
  }

  get netstack(): Netstack {
    return this.#inner.end.netstack
  }

  /** The tunnel's end here, of whichever suite. */
  get endpoint(): PeerEndpoint {
    return this.#hub.endpoint
  }

  get state(): AgentState {
    return this.#tie.state
  }

  /** When the state last changed. */
  get since(): Instant {
    return this.#tie.since
  }

  get config(): AgentConfig | undefined {
    return this.#config
  }

  /** The association with the broker: its counters and its age of evidence are public. */
  get association(): Association | undefined {
    return this.#association
  }

  /** Whether the agent pauses between two rounds of asking. */
  get resting(): boolean {
    return this.#way.resting
  }

  /** What the way to the broker is good for, since when, and what says so. */
  get health(): PathHealth {
    return this.#care.health
  }

  /** The way in use; undefined while there is none. */
  get path(): AgentPath | undefined {
    const endpoint = this.#way.inUse
    if (this.state !== 'up' || endpoint === undefined) return undefined
    return { endpoint, carrier: carrierOf(endpoint) ?? 'udp', ...this.#care.size }
  }

  /** Where the broker sees us, as its last binding answer said. */
  get reflexive(): StunAddress | undefined {
    return this.#way.reflexive
  }

  /** Between two keepalives on this network. */
  get keepaliveInterval(): Duration {
    return this.#way.interval
  }

  /**
   * Takes a first or a changed configuration. `endpoints` are the broker's outer addresses as literals (names are resolved by the
   * owner), and the other ways that there are to it; `preferred` is the last good one. A session lives on unless the broker's key
   * changed.
   */
  configure(config: AgentConfig, endpoints: readonly Endpoint[], preferred?: Endpoint): void {
    const now = this.#clock.now()
    const key = this.#hub.brokerKey(config)
    this.#config = config
    this.#inner.configure(config)
    this.#way.hold({ kind: 'interval', interval: seconds(config.keepaliveSeconds) }, now)
    this.#care.configure(config, now)
    this.#inner.resize(this.#care.size.innerMtu)
    this.#way.setEndpoints(endpoints, preferred)
    if (this.#association === undefined || key !== this.#brokerKey) {
      const replaced = this.#association !== undefined
      this.#forgetBroker()
      this.#brokerKey = key
      this.#association = this.#hub.join(config, this.#way.first, now)
      this.#tie.seek(replaced ? 'reconfigured' : 'start', now)
    }
    this.#announce()
  }

  /** New literals for the broker's endpoints, as DNS gave them. */
  setEndpoints(endpoints: readonly Endpoint[], preferred?: Endpoint): void {
    this.#way.setEndpoints(endpoints, preferred)
    this.#announce()
  }

  /** What this network's mappings are known to outlive; undefined: nothing is known, the configuration's interval serves. */
  setKeepaliveInterval(interval: Duration | undefined): void {
    this.#way.hold({ kind: 'learned', interval }, this.#clock.now())
    this.#announce()
  }

  /** On demand the tunnel sleeps, and asks each `poll` whether somebody wants it. In no mode but the normal one is the path probed freely. */
  setDataMode(mode: DataMode, poll: Duration = minutes(15)): void {
    this.#care.spare(mode !== 'normal')
    this.#way.hold({ kind: 'sleep', poll: mode === 'on-demand' ? poll : undefined }, this.#clock.now())
    this.#announce()
  }

  /** Somebody looks at `health`, which is to be true within 15 s while he does, whatever that costs. */
  watch(on: boolean): void {
    this.#care.watch(on, this.#clock.now())
    this.#announce()
  }

  /** The owner has reason to believe that asking now helps: cuts a rest short. */
  nudge(): void {
    if (this.state !== 'connecting') return
    this.#way.seek(this.#clock.now())
    this.#announce()
  }

  /**
   * Our addresses or routes have changed, or we have slept: the broker is told where we are now by a handshake, and asked at its other
   * addresses too. What the last network did not let through is tried again.
   */
  networkChanged(): void {
    const now = this.#clock.now()
    const association = this.#association
    if (association === undefined || this.state === 'down') return
    if (this.state === 'up' && association.endpoint !== undefined) {
      this.#care.use(association.endpoint, true, now)
      this.endpoint.initiate(association, now)
    }
    this.#way.moved(now)
    this.direct?.moved()
    this.#announce()
  }

  /** One outer datagram. It belongs to the caller again when the call returns. */
  receive(datagram: Uint8Array, from: Endpoint): void {
    const now = this.#clock.now()
    const kind = classify(datagram)
    if (this.direct?.arrives(kind, datagram, from, now)) return void this.#announce()
    switch (kind) {
      // An endpoint counts what is of the other suite as malformed.
      case 'wireguard-handshake':
      case 'ike':
        this.endpoint.handleControl(datagram, from, now)
        break
      case 'wireguard-data':
      case 'esp':
        this.#inbound(datagram, from, now)
        break
      case 'stun':
        this.#way.answer(datagram, from, now)
        break
      case 'keepalive':
        break
      default:
        this.counters.count(DropReason.UnknownKind)
    }
    this.#announce()
  }

  /** A packet of the kernel's; it belongs to the caller again when the call returns. */
  fromKernel(packet: Uint8Array): void {
    this.#inner.fromKernel(packet)
    this.#announce()
  }

  /** The data lane has opened datagrams. */
  heard(news: LaneHeard): void {
    const now = this.#clock.now()
    this.direct?.hears(news.from)
    const association = this.#endpointOf(news.suite)?.heard(news, now)
    if (association === this.#association) this.#tie.heard(news.from, now)
    else if (association) this.direct?.opened(association, NOTHING, news.from)
    this.#announce()
  }

  /** The data lane has sent datagrams. */
  sent(news: LaneSent): void {
    const now = this.#clock.now()
    const association = this.#endpointOf(news.suite)?.sent(news, now)
    if (association === this.#association && news.innerPackets > 0) this.#care.sent(news.largest, true, now)
    else if (association && news.innerPackets > 0) this.direct?.sent(association, news.largest)
    this.#announce()
  }

  /** A datagram that the data lane has sealed for a way that is none of its own. */
  carry(datagram: Uint8Array, to: Endpoint): void {
    // Flows of associations through the hub do not take the fast road; what was under way there as the way changed comes again.
    if (carrierOf(to) !== 'overlay') this.#way.transmit(datagram, to, this.#clock.now())
  }

  /** An inner packet that the data lane has opened in the session `local`, as it was decrypted. */
  opened(decrypted: Uint8Array, suite: SuiteName, local: number, from: Endpoint): void {
    const endpoint = this.#endpointOf(suite)
    const length = endpoint?.judge(local, decrypted, decrypted.length) ?? -1
    if (endpoint === undefined || length <= 0) return
    this.#inner.arrived(endpoint.opened, decrypted.subarray(0, length), from)
    this.#announce()
  }

  /** Runs everything that is due; `deadline` says when to call it. */
  expire(now: Instant): void {
    this.#announced = undefined
    this.endpoint.expire(now)
    this.netstack.expire(now)
    this.direct?.expire(now)
    this.#way.expire(now)
    this.#tie.expire(now)
    if (this.state === 'up') this.#care.expire(now)
    this.#announce()
  }

  deadline(): Deadline | undefined {
    const inner = soonest(this.netstack.deadline(), this.direct?.deadline())
    const outer = soonest(this.#way.deadline(), this.#tie.deadline())
    const earliest = soonest(soonest(this.endpoint.deadline(), inner), outer)
    return this.state === 'up' ? soonest(earliest, this.#care.deadline()) : earliest
  }

  /** Says nothing more and forgets its keys. `netstack` streams die with it. */
  stop(): void {
    if (this.state === 'down') return
    const now = this.#clock.now()
    this.#way.stop(now)
    this.netstack.destroy()
    this.direct?.close()
    this.#forgetBroker()
    this.#tie.end(now)
  }

  #inbound(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const out = borrowScratch()
    const length = this.endpoint.open(datagram, from, out, now)
    const { opened } = this.endpoint
    if (length >= 0 && opened === this.#association) this.#tie.heard(from, now)
    if (length >= 0) this.#inner.arrived(opened, out.subarray(0, length), from)
    returnScratch(out)
  }

  /** Its last events are no news any more. */
  #forgetBroker(): void {
    const association = this.#association
    this.#association = undefined
    if (association) this.endpoint.removePeer(association)
  }

  #tunnelEvent(event: TunnelEvent): void {
    if (this.#association === event.association) this.#tie.take(event, this.#clock.now())
    else this.direct?.tunnelEvent(event)
  }

  /** On the way in use where nothing is named. */
  #probe(beside: Endpoint | undefined): void {
    const now = this.#clock.now()
    const packet = beside && this.#care.probe(now)
    if (beside === undefined) this.#care.disturb(false, now)
    else if (packet) this.#inner.send(packet, beside)
  }

  /** Associations with other ends may be held by another endpoint than that with the hub. */
  #endpointOf(suite: SuiteName): PeerEndpoint | undefined {
    return suite === this.#association?.suite ? this.endpoint : this.direct?.endpoint
  }

  #announce(): void {
    const at = this.deadline()?.at
    if (at === undefined || (this.#announced !== undefined && this.#announced <= at)) return
    this.#announced = at
    this.#ports.wake(at)
  }
}
