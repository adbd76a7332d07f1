/**
 * A small town for packet engines: a hub in the middle, as a broker is, with or without its lane, and members around it on loopback, each
 * with a netstack behind it. Everything that a member says and hears goes over a `Wire`, which keeps it, and may say it again.
 */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { FlowFilter, forever, refused } from '#shared/dataplane/flow-filter.ts'
import type { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { defaultIkeSettings } from '#shared/ikev2/ike-context.ts'
import type { ChildPolicy, Lifetime } from '#shared/ikev2/peer-policy.ts'
import { parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { LANE_HEAP } from '#shared/platform/linux-engine/lane-thread.ts'
import { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import { isRefusal } from '#shared/platform/linux-engine/native.ts'
import { laneOfPeer } from '#shared/platform/linux-engine/steering.ts'
import { type Log, silentLog } from '#shared/platform/log.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { type Clock, type Instant, instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, PeerEndpoint, SuiteName, TunnelEvent } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { carriedBy, copyEndpoint } from '#shared/wire/endpoint.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'
import { seen } from '#test/lab/seen.ts'

export const HUB4 = '10.77.0.1'
export const HUB6 = 'fd77::1'
const WHOLE = ['10.77.0.0/16', 'fd77::/64']
const secret = new TextEncoder().encode('a secret of the town')
const HUB_ID = 'hub.example'

type Context = Pick<TestContext, 'after'>

export interface TownOptions {
  readonly suite: SuiteName
  /** Threads of its fast road; 0: the portable engine. */
  readonly lanes: number
  /** The outer address of everything. */
  readonly outer?: '127.0.0.1' | '::1'
  /** Of Child SAs. */
  readonly lifetime?: Partial<Lifetime>
}

/** What the hub shows of itself, and whom it has logged to. */
export class Town {
  readonly options: TownOptions
  readonly members: Member[] = []
  readonly events: TunnelEvent[] = []
  readonly errors: object[] = []
  readonly spoofed: Association[] = []
  /** Threads of the lane, the last one at work. */
  readonly threads: Worker[] = []
  /** Which flows may begin. */
  permits: (packet: InnerPacket) => boolean = () => true
  /** Added to the hub's clock, ms. */
  ahead = 0
  engine!: PacketEngine
  endpoint!: PeerEndpoint
  netstack!: Netstack
  readonly carriers = new Map<string, (datagram: Uint8Array) => void>()
  readonly key = nativeSuite.x25519.generate()
  #steps = 0n
  #before: Record<string, number> = {}
  #relayedBefore = 0
  #closed = false

  private constructor(options: TownOptions) {
    this.options = options
  }

  static async open(t: Context, options: TownOptions): Promise<Town> {
    const town = new Town(options)
    const noteThread = (thread: Worker): void => {
      // The reader of TypeScript may have a thread of its own.
      if (thread.resourceLimits?.maxOldGenerationSizeMb === LANE_HEAP.maxOldGenerationSizeMb) town.threads.push(thread)
    }
    process.on('worker', noteThread)
    t.after(async () => {
      process.off('worker', noteThread)
      await town.#close()
    })
    await town.#open()
    return town
  }

  readonly clock: Clock = {
    now: () => instant(systemClock.now() + this.ahead),
    wall: () => systemClock.wall(),
  }

  get lane(): LinuxLane | undefined {
    return this.engine.lane
  }

  get local(): Endpoint {
    return this.engine.local
  }

  /** What is counted is counted from here on. */
  begin(): void {
    this.#before = {}
    this.#before = this.drops()
    this.#relayedBefore = 0
    this.#relayedBefore = this.relayedByLane
    this.events.length = this.errors.length = this.spoofed.length = 0
    this.permits = () => true
  }

  /** What the hub has dropped, whoever of it, by label; zeros are left out. */
  drops(): Record<string, number> {
    const sums: Record<string, number> = {}
    const { plane } = this.engine
    const endpoints = [plane.noise, plane.esp] as (PeerEndpoint | undefined)[]
    for (const counters of [plane.counters, ...endpoints.map((endpoint) => endpoint?.counters), this.lane?.counters])
      for (const [label, count] of counters?.entries() ?? [])
        if (label !== 'held-by-lane') sums[label] = (sums[label] ?? 0) + count
    const more = Object.entries(sums).map(([label, count]) => [label, count - (this.#before[label] ?? 0)] as const)
    return Object.fromEntries(more.filter(([, count]) => count > 0))
  }

  /** Inner packets that the hub's lane has relayed. */
  get relayedByLane(): number {
    return (this.lane?.traffic.relayed ?? 0) - this.#relayedBefore
  }

  async join(t: Context, options: MemberOptions = {}): Promise<Member> {
    const member = new Member(this, this.members.length + 2)
    this.members.push(member)
    t.after(() => member.close())
    await member.open(options)
    return member
  }

  nextTimestamp = (): Uint8Array => tai64n(++this.#steps)

  async #open(): Promise<void> {
    const bind = { address: this.options.outer ?? '127.0.0.1', port: 0 }
    const log = { ...silentLog, error: (fields: object) => this.errors.push(fields) } as unknown as Log
    let lane: LinuxLane | undefined
    const { lanes } = this.options
    if (lanes > 0) {
      const opened = await LinuxLane.open({ clock: this.clock, timers: systemTimers, log, bind, lanes })
      if (isRefusal(opened)) throw new Error(opened.message)
      lane = opened
    }
    const isEsp = this.options.suite === 'esp'
    const noise = (ports: EspPorts, taker?: DataLane): WireguardEndpoint => this.#noise(ports, taker)
    this.engine = await PacketEngine.open({
      clock: this.clock,
      timers: systemTimers,
      bind,
      lane,
      filter: new FlowFilter(
        {
          permit: (packet) => (this.permits(packet) ? forever : refused),
        },
        1,
      ),
      event: (event) => this.#take(event),
      noise,
      ...(isEsp && { esp: (ports: EspPorts, taker: DataLane | undefined) => this.#esp(ports, taker) }),
      carried: {
        send: (datagram, to) => {
          const carrier = this.carriers.get(to.address)
          carrier?.(datagram.slice())
          return carrier !== undefined
        },
      },
      ports: {
        deliver: (packet) => this.netstack.input(packet),
        spoofed: (_packet, from) => this.spoofed.push(from),
      },
    })
    this.endpoint = (isEsp ? this.engine.plane.esp : this.engine.plane.noise) as PeerEndpoint
    this.netstack = netstackOn(this.engine, [HUB4, HUB6])
    this.engine.plane.setLocal([HUB4, HUB6])
    if (lane !== undefined) await this.wakeUp()
  }

  /** Resolves when a thread of the lane is at work: a keepalive has been taken, to which nobody says anything. */
  async wakeUp(): Promise<void> {
    const { received } = this.lane!.traffic
    const knock = await bound(this.local.address)
    try {
      await until(() => {
        if (this.lane!.traffic.received > received) return true
        knock.send(Uint8Array.of(0xff), this.local.port, this.local.address)
        return false
      }, 'the lane begins')
    } finally {
      knock.close()
    }
  }

  #take(event: TunnelEvent): void {
    this.events.push(event)
    if (event.kind !== 'established' || event.rekey) return
    const member = this.members.find(({ peerKey }) => peerKey === event.association.peerKey)
    for (const address of member?.addresses ?? []) this.engine.plane.routes.insert(address, event.association)
  }

  #noise(ports: EspPorts, lane: DataLane | undefined): WireguardEndpoint {
    const { nextTimestamp } = this
    return new WireguardEndpoint({ suite: nativeSuite, staticKey: this.key, ports, nextTimestamp, admit: () => ({}), lane })
  }

  #esp(ports: EspPorts, lane: DataLane | undefined): EspEndpoint {
    const admit = (name: string): Admitted => {
      const member = this.members.find(({ id }) => id === name)!
      const child = childPolicy(WHOLE, member.addresses, {})
      return { peerKey: member.peerKey, name, child, virtualAddresses: [], dns: [] }
    }
    return espEndpoint(HUB_ID, ports, lane, admit)
  }

  /** The member has left. */
  forget(member: Member): void {
    const association = member.atHub
    if (this.#closed || association === undefined) return
    this.engine.plane.detach(association, this.clock.now())
    this.endpoint.removePeer(association)
    this.engine.kick()
  }

  async #close(): Promise<void> {
    this.#closed = true
    this.netstack.destroy()
    await this.engine.close()
  }
}

export interface MemberOptions {
  /** Its datagrams are carried, as by a WebSocket. */
  readonly carried?: boolean
}

/** One end, always on the portable engine. */
export class Member {
  readonly number: number
  readonly v4: string
  readonly v6: string
  readonly id: string
  readonly key: KeyPair
  /** Inner packets that came here. */
  readonly received: Uint8Array[] = []
  wire!: Wire
  engine!: PacketEngine
  endpoint!: PeerEndpoint
  association!: Association
  netstack!: Netstack
  readonly #town: Town

  constructor(town: Town, number: number) {
    this.#town = town
    this.number = number
    this.v4 = `10.77.0.${number}`
    this.v6 = `fd77::${number}`
    this.id = `member-${number}.example`
    // Members take turns among the hub's lanes.
    const lanes = Math.max(1, town.options.lanes)
    do this.key = nativeSuite.x25519.generate()
    while (town.options.suite === 'noise' && laneOfPeer(this.peerKey, lanes) !== number % lanes)
  }

  get addresses(): string[] {
    return [this.v4, this.v6]
  }

  get peerKey(): string {
    return this.#town.options.suite === 'noise' ? toHex(this.key.publicKey) : String(this.number).padStart(64, '0')
  }

  /** The hub's association with this member. */
  get atHub(): Association {
    return this.#town.endpoint.association(this.peerKey)!
  }

  get now(): Instant {
    return systemClock.now()
  }

  async open({ carried = false }: MemberOptions): Promise<void> {
    const town = this.#town
    const { suite, lifetime = {}, outer = '127.0.0.1' } = town.options
    this.wire = await Wire.open(town.local)
    const way = carriedBy('websocket', this.number)
    const hub = carried ? carriedBy('websocket', 1) : this.wire.door
    if (carried) town.carriers.set(way.address, (datagram) => setImmediate(() => this.engine.receive(datagram, hub)))
    const isEsp = suite === 'esp'
    const noise = (ports: EspPorts) =>
      new WireguardEndpoint({ suite: nativeSuite, staticKey: this.key, ports, nextTimestamp: town.nextTimestamp })
    const child = childPolicy(this.addresses, WHOLE, lifetime)
    const esp = (ports: EspPorts) =>
      espEndpoint(this.id, ports, undefined, () => ({ peerKey: HUB_KEY, name: HUB_ID, child, virtualAddresses: [], dns: [] }))
    this.engine = await PacketEngine.open({
      clock: systemClock,
      timers: systemTimers,
      bind: { address: outer, port: 0 },
      filter: new FlowFilter({ permit: () => forever }, 1),
      event: () => undefined,
      noise,
      ...(isEsp && { esp }),
      carried: {
        send: (datagram) => {
          const copy = datagram.slice()
          setImmediate(() => town.engine.receive(copy, way))
          return true
        },
      },
      ports: {
        deliver: (packet) => {
          this.received.push(packet.slice())
          this.netstack.input(packet)
        },
      },
    })
    this.netstack = netstackOn(this.engine, this.addresses)
    // Nobody answers datagrams between these by an error.
    for (const port of [4_000, 4_001]) this.netstack.bindUdp({ port }, () => undefined)
    const { plane } = this.engine
    plane.setLocal(this.addresses)
    if (isEsp) {
      const endpoint = plane.esp as EspEndpoint
      const initiation = { expectedId: parseId(HUB_ID), child }
      this.endpoint = endpoint
      this.association = endpoint.addPeer({ peerKey: HUB_KEY, endpoint: hub, initiation, firstContact: true }, this.now)
    } else {
      const endpoint = plane.noise as WireguardEndpoint
      this.endpoint = endpoint
      this.association = endpoint.addPeer({ publicKey: town.key.publicKey, endpoint: hub, firstContact: true }, this.now)
    }
    for (const prefix of WHOLE) plane.routes.insert(prefix, this.association)
    this.engine.kick()
    await until(() => this.association.state === 'established' && this.atHub?.state === 'established', `${this.id} is in`)
    // The hub may speak first only when it has heard one packet of the session.
    await until(async () => (await this.netstack.ping(HUB6)) !== undefined, `${this.id} reaches the hub`)
  }

  /** An inner packet leaves as it is. */
  send(packet: Uint8Array): number {
    return this.engine.send(packet)
  }

  async close(): Promise<void> {
    this.netstack?.destroy()
    this.#town.forget(this)
    await this.engine?.close()
    await this.wire?.close()
  }
}

/** The way between a member and the hub: two UDP sockets, and a memory of all that has passed. */
export class Wire {
  readonly up: Uint8Array[] = []
  readonly down: Uint8Array[] = []
  readonly #inner: Socket
  #outer: Socket
  readonly #hub: Endpoint
  #member: Endpoint | undefined

  private constructor(hub: Endpoint, inner: Socket, outer: Socket) {
    this.#hub = hub
    this.#inner = inner
    this.#outer = outer
    inner.on('message', (datagram, from) => {
      this.#member = { address: from.address, port: from.port }
      this.up.push(Uint8Array.from(datagram))
      this.inject(datagram)
    })
    this.#listen()
  }

  static async open(hub: Endpoint): Promise<Wire> {
    return new Wire(copyEndpoint(hub), await bound(hub.address), await bound(hub.address))
  }

  /** Where the member takes the hub to be. */
  get door(): Endpoint {
    return { address: this.#hub.address, port: this.#inner.address().port }
  }

  /** Where the hub sees the member. */
  get port(): number {
    return this.#outer.address().port
  }

  /** Says something to the hub from the member's place. */
  inject(datagram: Uint8Array): void {
    this.#outer.send(datagram, this.#hub.port, this.#hub.address)
  }

  /** The member's place is another one from now on. */
  async move(): Promise<void> {
    const former = this.#outer
    this.#outer = await bound(this.#hub.address)
    this.#listen()
    former.close()
  }

  async close(): Promise<void> {
    this.#inner.close()
    this.#outer.close()
  }

  #listen(): void {
    this.#outer.on('message', (datagram) => {
      this.down.push(Uint8Array.from(datagram))
      const member = this.#member
      if (member !== undefined) this.#inner.send(datagram, member.port, member.address)
    })
  }
}

/** Resolves as soon as it holds. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, timeoutMs = 10_000): Promise<void> {
  await seen(holds, Boolean, { timeoutMs, everyMs: 5, otherwise: () => `it never came true that ${what}` })
}

async function bound(address: string): Promise<Socket> {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4' })
  socket.bind(0, address)
  await once(socket, 'listening')
  socket.setRecvBufferSize(1 << 20)
  return socket
}

function netstackOn(engine: PacketEngine, addresses: readonly string[]): Netstack {
  const netstack = new Netstack({
    suite: nativeSuite,
    clock: systemClock,
    addresses,
    transmit: (packet) => engine.send(packet),
    wake: (at) => engine.driver.wake(at),
  })
  engine.drive(netstack)
  return netstack
}

const HUB_KEY = 'a'.repeat(64)

function childPolicy(local: readonly string[], remote: readonly string[], lifetime: Partial<Lifetime>): ChildPolicy {
  const selector = (text: string) => fromCidr(parseCidr(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`))
  return {
    proposals: parseProposals(['aes256gcm16-x25519-esn-noesn'], ProtocolId.Esp),
    localSelectors: local.map(selector),
    remoteSelectors: remote.map(selector),
    lifetime: { ...defaultChildLifetime, ...lifetime },
  }
}

interface Admitted {
  readonly peerKey: string
  readonly name: string
  readonly child: ChildPolicy
  readonly virtualAddresses: []
  readonly dns: []
}

function espEndpoint(id: string, ports: EspPorts, lane: DataLane | undefined, admit: (id: string) => Admitted): EspEndpoint {
  return new EspEndpoint({
    suite: nativeSuite,
    ports,
    lane,
    ike: {
      owner: {
        judge: () => {
          throw new Error('nobody shows a certificate here')
        },
        preSharedKey: () => secret,
        ppk: () => undefined,
        admit: (claim) => admit(new TextDecoder().decode(claim.id.data)),
      },
      localIds: [parseId(id)],
      credential: { kind: 'psk', secret },
      authorities: [],
      proposals: parseProposals(['aes256gcm16-prfsha256-x25519'], ProtocolId.Ike),
      ticketKeys: [],
      settings: defaultIkeSettings,
      wall: () => systemClock.wall(),
    },
    onFailure: (failure) => {
      throw new Error(JSON.stringify(failure))
    },
  })
}
