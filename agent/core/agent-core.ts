/**
 * The agent as a pure composition: one noise association with the broker, a netstack behind it, and the care that keeps the two
 * alive (search, keepalives, presence). The device role, the operator role and the simulator's thousands of devices are all this
 * class with other ports; it opens no socket, reads no clock, sets no timer.
 *
 *   outer datagram -> receive -> demux -> endpoint.handleControl | endpoint.open -> source in the routes? -> netstack
 *   netstack -> seal -> send
 *
 *   starting --configure--> connecting --first authentic packet--> up --lapsed or unanswered--> connecting        any --stop--> down
 */
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { RouteTable } from '#shared/dataplane/route-table.ts'
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import { type Deadline, soonest } from '#shared/machine.ts'
import type { DataMode } from '#shared/nat/data-budget.ts'
import { NatKeepalive } from '#shared/nat/keepalive.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import type { NetstackOptions } from '#shared/netstack/options.ts'
import { type Clock, type Duration, elapsed, type Instant, minutes, seconds } from '#shared/time/instant.ts'
import {
  type Association,
  type Endpoint,
  type EndpointPorts,
  type PeerEndpoint,
  sameEndpoint,
  type TunnelEvent,
} from '#shared/tunnel/association.ts'
import { classify } from '#shared/wire/demux.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'
import type { AgentConfig } from './agent-config.ts'
import { BrokerSearch } from './broker-search.ts'
import type { Hub } from './hub.ts'
import { NoiseHub } from './noise-hub.ts'
import { borrowScratch, returnScratch } from './scratch.ts'
import { Upkeep } from './upkeep.ts'

export type AgentState = 'starting' | 'connecting' | 'up' | 'down'

export type AgentEvent =
  /** The tunnel carries data both ways: an authentic packet came from `endpoint`. */
  | { kind: 'up'; endpoint: Endpoint; handshakes: number }
  /** It does no longer; the search for the broker has begun. */
  | { kind: 'connecting'; why: 'start' | 'lapsed' | 'unanswered' | 'reconfigured' }
  | { kind: 'down' }
  /** The broker now answers from elsewhere: worth remembering for the next start. */
  | { kind: 'roamed'; endpoint: Endpoint }
  /** The NAT forgot us within the learned interval, which counts no more. */
  | { kind: 'binding-lost'; interval: Duration }
  /**
   * Nobody has answered for a minute. The owner asks the API for the last timestamp taken from our key and lifts its timestamp
   * floor above it (DESIGN D5), and fetches the configuration again, since keys or endpoints may have moved.
   */
  | { kind: 'ask-timestamp'; since: Duration }

export interface AgentPorts {
  /** Sends an outer datagram. It is borrowed for the call, and must not be delivered to another core before the call returns. */
  send(datagram: Uint8Array, to: Endpoint): void
  /** The next TAI64N, 12 bytes, above every one before it (`shared/tunnel/tai64n.ts`). */
  nextTimestamp(): Uint8Array
  /** The earliest deadline is now `at`: call `expire` then. Called when it became earlier, and after each `expire`. */
  wake(at: Instant): void
  event(event: AgentEvent): void
}

export interface AgentCoreOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly tunnelKey: KeyPair
  readonly ports: AgentPorts
  /** Makes the way to the broker in another suite than noise. */
  readonly hub?: (ports: EndpointPorts) => Hub
  /** The netstack's: memory of the simulator's many, and when to do the work of a burst (`setImmediate` in a shell). */
  readonly netstack?: Pick<NetstackOptions, 'limits' | 'defer'>
}

/** Unanswered for so long, a session that was up counts as lost, and other endpoints are tried. */
const LOST_AFTER_MS = 15_000
const SENT_GRAIN_MS = 1_000
const SENT = { kind: 'sent' } as const
const TRAFFIC = { kind: 'traffic' } as const
const TIME = { kind: 'time' } as const

export class AgentCore {
  readonly netstack: Netstack
  /** Inner packets refused after decryption, and packets that could not be sealed. */
  readonly counters = new DropCounters()
  readonly #hub: Hub
  readonly #clock: Clock
  readonly #ports: AgentPorts
  readonly #search: BrokerSearch
  readonly #upkeep: Upkeep
  readonly #keepalive: NatKeepalive
  #routes = new RouteTable<true>()
  #association: Association | undefined
  #brokerKey = ''
  #state: AgentState = 'starting'
  #since: Instant
  #config: AgentConfig | undefined
  #innerMtu = 1280
  #announced: Instant | undefined
  #sentAt: Instant | undefined
  /** The broker has been silent: it may have been restarted. */
  #mayBeForgotten = false
  #sleeps = false

  constructor({ suite, clock, tunnelKey, ports, netstack, hub }: AgentCoreOptions) {
    this.#clock = clock
    this.#ports = ports
    this.#since = clock.now()
    this.#search = new BrokerSearch(suite)
    this.#keepalive = new NatKeepalive({ suite })
    this.netstack = new Netstack({
      ...netstack,
      suite,
      clock,
      addresses: [],
      transmit: (packet) => this.#outbound(packet),
      wake: () => this.#announce(),
    })
    const tunnel: EndpointPorts = {
      transmit: (datagram, to) => this.#transmit(datagram, to),
      event: (event) => this.#tunnelEvent(event),
    }
    const nextTimestamp = (): Uint8Array => ports.nextTimestamp()
    this.#hub = hub?.(tunnel) ?? new NoiseHub({ suite, tunnelKey, ports: tunnel, nextTimestamp })
    this.#upkeep = new Upkeep(suite, this.#hub.renewAfter)
  }

  /** The tunnel's end here, of whichever suite. */
  get endpoint(): PeerEndpoint {
    return this.#hub.endpoint
  }

  get state(): AgentState {
    return this.#state
  }

  /** When the state last changed. */
  get since(): Instant {
    return this.#since
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
    return this.#search.resting
  }

  /**
   * Takes a first or a changed configuration. `endpoints` are the broker's outer addresses as literals (names are resolved by the
   * owner), `preferred` the last good one. A session lives on unless the broker's key changed.
   */
  configure(config: AgentConfig, endpoints: readonly Endpoint[], preferred?: Endpoint): void {
    const now = this.#clock.now()
    const key = this.#hub.brokerKey(config)
    this.#config = config
    this.#innerMtu = config.inner.mtu
    this.#routes = new RouteTable()
    for (const cidr of config.routes) this.#routes.insert(cidr, true)
    this.#keepalive.handle({ kind: 'interval', interval: seconds(config.keepaliveSeconds) }, now)
    this.netstack.setAddresses([...config.inner.addresses])
    this.netstack.setMtu(config.inner.mtu)
    this.#search.setEndpoints(endpoints, preferred)
    if (this.#association === undefined || key !== this.#brokerKey) {
      const replaced = this.#association !== undefined
      this.#forgetBroker()
      this.#brokerKey = key
      this.#association = this.#hub.join(config, this.#search.endpoints[0], now)
      this.#seek(replaced ? 'reconfigured' : 'start', now)
    }
    this.#announce()
  }

  /** New literals for the broker's endpoints, as DNS gave them. */
  setEndpoints(endpoints: readonly Endpoint[], preferred?: Endpoint): void {
    this.#search.setEndpoints(endpoints, preferred)
    this.#announce()
  }

  /** Where the broker sees us, as its last binding answer said. */
  get reflexive(): StunAddress | undefined {
    return this.#keepalive.reflexive
  }

  /** Between two keepalives on this network. */
  get keepaliveInterval(): Duration {
    return this.#keepalive.interval
  }

  /** What this network's mappings are known to outlive; undefined: nothing is known, the configuration's interval serves. */
  setKeepaliveInterval(interval: Duration | undefined): void {
    this.#keepalive.handle({ kind: 'learned', interval }, this.#clock.now())
    this.#announce()
  }

  /** On demand the tunnel sleeps, and asks each `poll` whether somebody wants it. */
  setDataMode(mode: DataMode, poll: Duration = minutes(15)): void {
    this.#sleeps = mode === 'on-demand'
    this.#keepalive.handle({ kind: 'sleep', poll: this.#sleeps ? poll : undefined }, this.#clock.now())
    this.#announce()
  }

  /** The network changed, or the owner has reason to believe that asking now helps: cuts a rest short. */
  nudge(): void {
    if (this.#state !== 'connecting') return
    this.#search.begin(this.#clock.now())
    this.#announce()
  }

  /** One outer datagram. It belongs to the caller again when the call returns. */
  receive(datagram: Uint8Array, from: Endpoint): void {
    const now = this.#clock.now()
    switch (classify(datagram)) {
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
        this.#keepalive.handle({ kind: 'stun', datagram }, now)
        this.#keepMapping(now)
        break
      case 'keepalive':
        break
      default:
        this.counters.count(DropReason.UnknownKind)
    }
    this.#announce()
  }

  /** Runs everything that is due. */
  expire(now: Instant): void {
    this.#announced = undefined
    this.endpoint.expire(now)
    this.netstack.expire(now)
    this.#searchOn(now)
    this.#keepUp(now)
    this.#announce()
  }

  /** The earliest moment at which `expire` has something to do. */
  deadline(): Deadline | undefined {
    let earliest = soonest(this.endpoint.deadline(), this.netstack.deadline())
    const search = this.#search.deadline()
    if (search !== undefined && (earliest === undefined || search < earliest.at))
      earliest = { at: search, why: 'search the broker' }
    if (this.#state !== 'up') return earliest
    const upkeep = this.#upkeep.deadline()
    if (upkeep !== undefined && (earliest === undefined || upkeep < earliest.at)) earliest = { at: upkeep, why: 'presence' }
    return soonest(earliest, this.#keepalive.deadline())
  }

  /** Says nothing more and forgets its keys. `netstack` streams die with it. */
  stop(): void {
    if (this.#state === 'down') return
    this.#search.stop()
    this.netstack.destroy()
    this.#forgetBroker()
    this.#enter('down', this.#clock.now())
    this.#ports.event({ kind: 'down' })
  }

  #inbound(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const out = borrowScratch()
    const length = this.endpoint.open(datagram, from, out, now)
    if (length >= 0) {
      this.#authentic(from, now)
      if (length > 0) {
        const packet = out.subarray(0, length)
        if (this.#isFromFleet(packet)) this.netstack.input(packet)
        else this.counters.count(DropReason.InnerSourceRefused)
      }
    }
    returnScratch(out)
  }

  /**
   * The broker's own filter decides who reaches whom; this one keeps a packet out that names a source which could never be answered
   * through the tunnel (P-30). The source lies at byte 12 of an IPv4 header and at byte 8 of an IPv6 header.
   */
  #isFromFleet(packet: Uint8Array): boolean {
    const version = packet[0]! >> 4
    if (version === 4) return packet.length >= 20 && this.#routes.lookup(packet, 12, 4) === true
    return version === 6 && packet.length >= 40 && this.#routes.lookup(packet, 8, 16) === true
  }

  #outbound(packet: Uint8Array): void {
    const association = this.#association
    const refusal = association === undefined ? DropReason.NoSession : packet.length > this.#innerMtu ? DropReason.InnerTooBig : 0
    if (refusal < 0 || association === undefined) {
      this.counters.count(refusal)
      return
    }
    const out = borrowScratch()
    const length = association.seal(packet, packet.length, out, this.#clock.now())
    if (length >= 0 && association.endpoint) {
      if (this.#sleeps) this.#keepalive.handle(TRAFFIC, this.#clock.now())
      this.#upkeep.sealed(this.#clock.now())
      this.#transmit(out.subarray(0, length), association.endpoint)
    } else if (length < 0) this.counters.count(length)
    returnScratch(out)
  }

  #transmit(datagram: Uint8Array, to: Endpoint): void {
    const now = this.#clock.now()
    // Whatever goes out holds the mapping; once a second is enough to know.
    if (this.#sentAt === undefined || elapsed(this.#sentAt, now) >= SENT_GRAIN_MS) {
      this.#sentAt = now
      this.#keepalive.handle(SENT, now)
    }
    this.#ports.send(datagram, to)
  }

  /** Its last events are no news any more. */
  #forgetBroker(): void {
    const association = this.#association
    this.#association = undefined
    if (association) this.endpoint.removePeer(association)
  }

  #tunnelEvent(event: TunnelEvent): void {
    const now = this.#clock.now()
    if (this.#association !== event.association) return
    switch (event.kind) {
      case 'established':
        this.#established(now)
        // A broker that was silent may have started anew as well: it knows no stream.
        if (this.#mayBeForgotten || this.#hub.mayBeNew(event)) this.netstack.probe()
        this.#mayBeForgotten = false
        break
      case 'roamed':
        if (this.#state === 'up') this.#ports.event({ kind: 'roamed', endpoint: event.to })
        break
      case 'lapsed':
        if (this.#state === 'up') this.#seek('lapsed', now)
        break
      case 'unanswered':
        this.#mayBeForgotten = true
        if (this.#state === 'up' && event.sinceMs >= LOST_AFTER_MS) this.#seek('unanswered', now)
    }
  }

  /** An authentic answer came; the association itself sends the packet that lets the responder use the session too. */
  #established(now: Instant): void {
    const endpoint = this.#association?.endpoint
    this.#upkeep.agreed(now)
    if (endpoint !== undefined) this.#authentic(endpoint, now)
  }

  #authentic(from: Endpoint, now: Instant): void {
    if (this.#state === 'up' || this.#state === 'down') return
    this.#search.found(from)
    this.#upkeep.sealed(now)
    this.#enter('up', now)
    this.#keepalive.handle({ kind: 'start' }, now)
    this.#keepMapping(now)
    this.#ports.event({ kind: 'up', endpoint: from, handshakes: this.#association?.counters.handshakes ?? 0 })
  }

  #seek(why: Extract<AgentEvent, { kind: 'connecting' }>['why'], now: Instant): void {
    this.#enter('connecting', now)
    this.#ports.event({ kind: 'connecting', why })
    this.#search.begin(now)
  }

  #searchOn(now: Instant): void {
    for (let step = this.#search.step(now); step !== undefined; step = this.#search.step(now)) {
      const association = this.#association
      if (association === undefined) return
      if (step.kind === 'try') {
        const stays = sameEndpoint(association.endpoint, step.endpoint)
        // At the same place the association's own schedule goes on.
        if (stays && association.state === 'handshaking') continue
        if (!stays) this.endpoint.setEndpoint(association, step.endpoint, now)
        this.endpoint.initiate(association, now)
      } else if (step.kind === 'rest') association.reset()
      else this.#ports.event({ kind: 'ask-timestamp', since: step.since })
    }
  }

  #keepUp(now: Instant): void {
    const association = this.#association
    if (this.#state !== 'up' || association === undefined) return
    if (this.#upkeep.takePresence(now)) this.endpoint.sendKeepalive(association, now)
    if (this.#upkeep.takeRekey(now) && association.state !== 'handshaking') this.endpoint.initiate(association, now)
    this.#keepalive.handle(TIME, now)
    this.#keepMapping(now)
  }

  /** Keepalives and questions go where the broker is; an answer that shows us moved, or none, asks for a handshake. */
  #keepMapping(now: Instant): void {
    for (let output = this.#keepalive.poll(); output !== undefined; output = this.#keepalive.poll()) {
      const association = this.#association
      if (association?.endpoint === undefined) continue
      if (output.kind === 'send') this.#ports.send(output.datagram, association.endpoint)
      else if (output.kind === 'binding-lost') this.#ports.event(output)
      else if (output.kind === 'handshake-now') {
        this.#mayBeForgotten ||= output.why === 'silent'
        this.endpoint.initiate(association, now)
      }
    }
  }

  #enter(state: AgentState, now: Instant): void {
    if (this.#state === state) return
    if (this.#state === 'up') this.#keepalive.handle({ kind: 'stop' }, now)
    this.#state = state
    this.#since = now
  }

  #announce(): void {
    const at = this.deadline()?.at
    if (at === undefined || (this.#announced !== undefined && this.#announced <= at)) return
    this.#announced = at
    this.#ports.wake(at)
  }
}
