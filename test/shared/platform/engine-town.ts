import type { TestContext } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { nativeSuite } from '#shared/crypto/native.ts'
import { FlowFilter, forever, refused } from '#shared/dataplane/flow-filter.ts'
import type { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import type { Lifetime } from '#shared/ikev2/peer-policy.ts'
import type { Netstack } from '#shared/netstack/netstack.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { LANE_HEAP } from '#shared/platform/linux-engine/lane-thread.ts'
import { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import { isRefusal } from '#shared/platform/linux-engine/native.ts'
import { type Log, silentLog } from '#shared/platform/log.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { type Clock, instant } from '#shared/time/instant.ts'
import type { Association, Endpoint, PeerEndpoint, SuiteName, TunnelEvent } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import type { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { type Admitted, childPolicy, espEndpoint, HUB_ID } from './town-esp.ts'
import { Member, type MemberOptions } from './town-member.ts'
import { HUB4, HUB6, netstackOn, until, WHOLE } from './town-netstack.ts'
import { bound } from './town-wire.ts'

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
      const child = childPolicy(WHOLE, member.addresses)
      return { peerKey: member.peerKey, name, child, virtualAddresses: [], dns: [] }
    }
    return espEndpoint(nativeSuite, HUB_ID, ports, lane, admit)
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
