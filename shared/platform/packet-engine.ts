import { DataPlane, type DataPlanePorts } from '#shared/dataplane/data-plane.ts'
import type { FlowFilter } from '#shared/dataplane/flow-filter.ts'
import { HostSplit, type UserStack } from '#shared/dataplane/host-split.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { type Driven, Driver } from '#shared/platform/driver.ts'
import type { LaneEvents } from '#shared/platform/linux-engine/lane-client.ts'
import type { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Clock, Instant } from '#shared/time/instant.ts'
import type { Endpoint, EndpointPorts, PeerEndpoint, SuiteName, TunnelEvent } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { isCarried } from '#shared/wire/endpoint.ts'

/** An endpoint of the esp suite. */
export interface BareEndpoint extends PeerEndpoint {
  /** A datagram of the second port: IKE without the non-ESP marker. Returns 0 or a negative DropReason. */
  handleBare(datagram: Uint8Array, from: Endpoint, now: Instant): number
}

interface Bind {
  /** Literal address; undefined: all, of both families. */
  address?: string
  /** 0: any free one. */
  port: number
  /** As in UdpOptions. */
  shared?: boolean
}

export interface PacketEngineOptions {
  clock: Clock
  timers: Timers
  /** The one port of everything (DESIGN D2); with a lane, that port is the lane's. */
  bind: Bind
  /** A faster road for what has been let pass, over its own port and perhaps a TUN. It belongs to the engine. */
  lane?: LinuxLane | undefined
  /** The stack that shares this host's inner addresses with the kernel, where the lane has a TUN. */
  stack?(): UserStack
  /** A second port for stock IKE clients that begin on port 500; only with `esp`. */
  bindBare?: Bind | undefined
  /** Takes datagrams to carried endpoints; false where it drops them. What comes from there goes into `receive`. */
  carried?: {
    send(datagram: Uint8Array, to: Endpoint): boolean
    /** Something authentic came from there. */
    proven?(endpoint: Endpoint): void
  }
  /** Makes the WireGuard endpoint on the ports that the engine gives it. */
  noise(ports: EndpointPorts, lane: DataLane | undefined): PeerEndpoint
  /** Makes the endpoint of the esp suite; without one its datagrams are counted as unknown. */
  esp?: ((ports: EspPorts, lane: DataLane | undefined) => BareEndpoint) | undefined
  filter: FlowFilter
  event(event: TunnelEvent): void
  /** Handling a datagram threw: it is dropped and counted. Left out: the error goes on. */
  defect?(error: unknown): void
  /** Told of every outer datagram, before it is looked at and after it was sent. Must not allocate. */
  meter?: OuterTraffic
  ports: Pick<DataPlanePorts, 'deliver' | 'spoofed' | 'tooBig'> & {
    /** A STUN message arrived; whoever answers sends by `plane.ports.transmit`. */
    stun?(datagram: Uint8Array, from: Endpoint): void
  }
}

/** Who counts outer datagrams; `length` is that of all of them, without headers. */
interface OuterTraffic {
  heard(length: number, from: Endpoint, now: Instant, datagrams?: number): void
  sent(length: number, to: Endpoint, datagrams?: number): void
}

/**
 * What moves packets between the network, a data plane and an inner end (DESIGN D9). By itself it serves any operating system: node:dgram,
 * one thread, every packet handled where it arrives. With a lane, a thread of its own moves what has once taken this road.
 */
export class PacketEngine {
  readonly plane: DataPlane
  readonly driver: Driver
  readonly lane: LinuxLane | undefined
  readonly #noise: PeerEndpoint
  readonly #clock: Clock
  readonly #esp: BareEndpoint | undefined
  readonly #meter: OuterTraffic | undefined
  readonly #defect: PacketEngineOptions['defect']
  readonly #carried: PacketEngineOptions['carried']
  readonly #toStack: (packet: Uint8Array) => void
  readonly #split: HostSplit | undefined
  #socket: UdpSocket | undefined
  #bare: UdpSocket | undefined
  #kicking = false
  #closed = false

  private constructor(options: PacketEngineOptions) {
    const { clock, timers, noise, esp, carried, filter, event, meter, ports, lane } = options
    this.#clock = clock
    this.lane = lane
    this.#carried = carried
    this.#meter = meter
    this.#defect = options.defect
    this.driver = new Driver(clock, timers)
    const transmit = (datagram: Uint8Array, to: Endpoint): boolean => {
      const isSent = (isCarried(to) ? carried : (lane ?? this.#socket))?.send(datagram, to) ?? false
      if (isSent) meter?.sent(datagram.length, to)
      return isSent
    }
    this.#noise = noise({ transmit, event }, lane?.sessions)
    const transmitBare = (datagram: Uint8Array, to: Endpoint): void => void this.#bare?.send(datagram, to)
    this.#esp = esp?.({ transmit, transmitBare, event }, lane?.sessions)
    const { stun, ...rest } = ports
    this.plane = new DataPlane({
      noise: this.#noise,
      ...(this.#esp && { esp: this.#esp }),
      filter,
      ports: {
        ...rest,
        deliver: (packet) => this.#deliver(packet),
        transmit,
        ...(stun && { stun }),
      },
    })
    this.driver.add(this.#noise)
    if (this.#esp) this.driver.add(this.#esp)
    this.driver.add(filter)
    this.#toStack = ports.deliver
    if (lane === undefined) return
    this.#split = lane.tun && new HostSplit({ owns: (protocol, port) => options.stack?.().owns(protocol, port) ?? false })
    filter.offload = lane.offload((flow) => this.#split?.isKernelsFlow(flow) ?? false)
    this.plane.sizes.changed = (association, bytes) => lane.sessions.setRoom(association, bytes)
  }

  /** Throws AditError `port-in-use`. */
  static async open(options: PacketEngineOptions): Promise<PacketEngine> {
    const engine = new PacketEngine(options)
    const { lane } = options
    if (lane !== undefined) lane.start(engine.#laneEvents())
    else await engine.#bind(options)
    if (options.bindBare === undefined) return engine
    try {
      const onDatagram = (datagram: Uint8Array, from: Endpoint): void => engine.#receiveBare(datagram, from)
      engine.#bare = await UdpSocket.bind({ ...options.bindBare, onDatagram })
      return engine
    } catch (error) {
      await engine.close()
      throw error
    }
  }

  async #bind(options: PacketEngineOptions): Promise<void> {
    const onDatagram = (datagram: Uint8Array, from: Endpoint): void => void this.receive(datagram, from)
    this.#socket = await UdpSocket.bind({ ...options.bind, onDatagram })
  }

  get local(): Endpoint {
    return (this.lane ?? this.#socket!).local
  }

  /** Where bare IKE is listened for, if anywhere. */
  get localBare(): Endpoint | undefined {
    return this.#bare?.local
  }

  /** Something else to wake by the same timer: a netstack. */
  drive(driven: Driven): void {
    this.driver.add(driven)
  }

  send(packet: Uint8Array): number {
    this.kick()
    return this.plane.send(packet, this.#clock.now())
  }

  /** An outer datagram, whatever bore it; it belongs to the engine. Returns 0 or the DropReason that was counted. */
  receive(datagram: Uint8Array, from: Endpoint): number {
    if (this.#closed) return 0
    const now = this.#clock.now()
    this.#meter?.heard(datagram.length, from, now)
    let result: number
    try {
      result = this.plane.receive(datagram, from, now)
    } catch (error) {
      result = this.#met(error)
    }
    this.kick()
    return result
  }

  /** Deadlines are looked at once in a turn of the event loop, however many packets it brought. */
  kick(): void {
    if (this.#kicking || this.#closed) return
    this.#kicking = true
    setImmediate(() => {
      this.#kicking = false
      if (!this.#closed) this.driver.kick()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.driver.close()
    await Promise.all([this.#socket?.close(), this.#bare?.close(), this.lane?.close()])
  }

  #deliver(packet: Uint8Array): void {
    if (!this.#split?.isKernels(packet)) this.#toStack(packet)
    else if (!this.lane!.toTun(packet)) this.plane.counters.count(DropReason.SendFailed)
  }

  /** What comes up from the lane takes the same road as what arrives here. */
  #laneEvents(): LaneEvents {
    const meter = this.#meter
    return {
      datagram: (datagram, from) => void this.receive(datagram, from),
      heard: (news) => {
        const now = this.#clock.now()
        meter?.heard(news.outerBytes, news.from, now, news.datagrams)
        if (isCarried(news.from)) this.#carried?.proven?.(news.from)
        this.#endpointOf(news.suite)?.heard(news, now)
      },
      sent: (news) => {
        const endpoint = this.#endpointOf(news.suite)?.sent(news, this.#clock.now())?.endpoint
        if (endpoint) meter?.sent(news.outerBytes, endpoint, news.datagrams)
      },
      packet: (packet, suite, local) => {
        const endpoint = this.#endpointOf(suite)
        if (endpoint) this.plane.admit(endpoint, local, packet, this.#clock.now())
      },
      fromTun: (packet) => void this.plane.send(packet, this.#clock.now()),
      carried: (datagram, to) => void this.#carried?.send(datagram, to),
      settled: () => this.kick(),
    }
  }

  #endpointOf(suite: SuiteName): PeerEndpoint | undefined {
    return suite === 'noise' ? this.#noise : this.#esp
  }

  #receiveBare(datagram: Uint8Array, from: Endpoint): void {
    if (this.#closed) return
    this.plane.traffic.received++
    try {
      this.#esp?.handleBare(datagram, from, this.#clock.now())
    } catch (error) {
      this.#met(error)
    }
    this.kick()
  }

  #met(error: unknown): number {
    if (this.#defect === undefined) throw error
    this.#defect(error)
    this.plane.counters.count(DropReason.Defect)
    return DropReason.Defect
  }
}
