import type { AgentConfig } from '#agent/core/agent-config.ts'
import type { AgentCore } from '#agent/core/agent-core.ts'
import type { KernelEnd } from '#agent/core/kernel-end.ts'
import { HostSplit, type UserStack } from '#shared/dataplane/host-split.ts'
import type { LaneEvents } from '#shared/platform/linux-engine/lane-client.ts'
import type { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { KernelNetwork } from './kernel-network.ts'

/** What a person wishes of the kernel's part in the tunnel. */
export interface TunWishes {
  readonly name: string
  /** Everything goes into the tunnel, and these name servers in it are asked; undefined: the fleet's networks alone. */
  readonly all: { readonly dns: readonly string[] } | undefined
}

export interface FastRoadOptions {
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  /** The state folder. */
  readonly folder: string
  readonly tun: TunWishes
}

/** What the road's datagrams are told to, besides the core. */
export interface FastRoadMeter {
  /** An outer datagram that the lane leaves to us. */
  received(datagram: Uint8Array, from: Endpoint): void
  /** `datagrams` of `bytes` in all. */
  countReceived(bytes: number, from: Endpoint, datagrams: number): void
  countSent(bytes: number, to: Endpoint, datagrams: number): void
}

/** Inner packets of associations with other ends are no longer than this (DESIGN §5). Bytes. */
const DIRECT_MTU = 1_280

/** The lane, its TUN, and the machine's network around it: an agent's part of the fast engine. */
export class FastRoad {
  readonly lane: LinuxLane
  readonly name: string
  readonly #network: KernelNetwork

  private constructor(lane: LinuxLane, name: string, network: KernelNetwork) {
    this.lane = lane
    this.name = name
    this.#network = network
  }

  /** Undefined where this machine has none; one line has said why. */
  static async open(options: FastRoadOptions): Promise<FastRoad | undefined> {
    const { clock, timers, log, folder, tun } = options
    const { openLane } = await import('#shared/platform/linux-engine/open-lane.ts')
    const lane = await openLane({ clock, timers, log, bind: { port: 0, neverFragment: true }, tun: tun.name })
    const name = lane?.tun?.name
    if (lane === undefined || name === undefined) return undefined
    return new FastRoad(lane, name, new KernelNetwork({ name, folder, log, all: tun.all }))
  }

  /** To whom endpoints hand their sessions. */
  get sessions(): DataLane {
    return this.lane.sessions
  }

  /** Why the machine's network is not as it should be; undefined: it is. */
  get problem(): string | undefined {
    return this.#network.error
  }

  /** The kernel behind the TUN, as the core sees it. `stack`: the netstack that has the same addresses. */
  kernel(stack: () => UserStack): KernelEnd {
    const { lane } = this
    const split = new HostSplit({ owns: (protocol, port) => stack().owns(protocol, port) })
    const shortcuts = lane.shortcuts()
    const direct = new WeakSet<Association>()
    let broker: Association | undefined
    return {
      sessions: lane.sessions,
      isKernels: (packet) => split.isKernels(packet),
      deliver: (packet) => void lane.toTun(packet),
      passed: (packet, from, to) => {
        if (to !== undefined && to !== broker && !direct.has(to)) {
          direct.add(to)
          lane.sessions.setRoom(to, DIRECT_MTU)
        }
        shortcuts.passed(packet, from, to)
      },
      forget: () => shortcuts.forgetAll(),
      resize: (mtu, hub) => {
        broker = hub
        if (hub) lane.sessions.setRoom(hub, mtu)
        this.#network.resize(mtu)
      },
    }
  }

  /** The thread begins; what it does not know goes to `core`. */
  start(core: AgentCore, meter: FastRoadMeter): void {
    const events: LaneEvents = {
      datagram: (datagram, from) => meter.received(datagram, from),
      heard: (news) => {
        meter.countReceived(news.outerBytes, news.from, news.datagrams)
        core.heard(news)
      },
      sent: (news) => {
        const endpoint = core.association?.endpoint
        if (endpoint) meter.countSent(news.outerBytes, endpoint, news.datagrams)
        core.sent(news)
      },
      packet: (packet, suite, local, from) => core.opened(packet, suite, local, from),
      fromTun: (packet) => core.fromKernel(packet),
      carried: (datagram, to) => core.carry(datagram, to),
      settled: () => {},
    }
    this.lane.start(events)
  }

  /** As `KernelNetwork.configure`. */
  configure(config: AgentConfig, outside: readonly string[]): void {
    this.#network.configure(config, outside)
  }

  /** The machine's network has changed. */
  renew(): void {
    this.#network.renew()
  }

  /** Takes back what was made of the machine's network. The lane goes with `close`, which comes last. */
  async undo(): Promise<void> {
    await this.#network.close()
  }

  async close(): Promise<void> {
    await this.lane.close()
  }
}
