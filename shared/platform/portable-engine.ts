import { DataPlane, type DataPlanePorts } from '#shared/dataplane/data-plane.ts'
import type { FlowFilter } from '#shared/dataplane/flow-filter.ts'
import { type Driven, Driver } from '#shared/platform/driver.ts'
import type { Engine } from '#shared/platform/engine.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Clock, Instant } from '#shared/time/instant.ts'
import type { Endpoint, EndpointPorts, TunnelEndpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { isCarried } from '#shared/wire/endpoint.ts'

/** An endpoint of the esp suite. */
export interface BareEndpoint extends TunnelEndpoint {
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

export interface PortableEngineOptions {
  clock: Clock
  timers: Timers
  /** The one port of everything (DESIGN D2). */
  bind: Bind
  /** A second port for stock IKE clients that begin on port 500; only with `esp`. */
  bindBare?: Bind | undefined
  /** Takes datagrams to carried endpoints; false where it drops them. What comes from there goes into `receive`. */
  carried?: { send(datagram: Uint8Array, to: Endpoint): boolean }
  /** Makes the WireGuard endpoint on the ports that the engine gives it. */
  noise(ports: EndpointPorts): TunnelEndpoint
  /** Makes the endpoint of the esp suite; without one its datagrams are counted as unknown. */
  esp?: ((ports: EspPorts) => BareEndpoint) | undefined
  filter: FlowFilter
  event(event: TunnelEvent): void
  /** Told of every outer datagram, before it is looked at and after it was sent. Must not allocate. */
  meter?: OuterTraffic
  ports: Pick<DataPlanePorts, 'deliver' | 'spoofed'> & {
    /** A STUN message arrived; whoever answers sends by `plane.ports.transmit`. */
    stun?(datagram: Uint8Array, from: Endpoint): void
  }
}

/** Who counts outer datagrams; `length` without headers. */
interface OuterTraffic {
  heard(length: number, from: Endpoint, now: Instant): void
  sent(length: number, to: Endpoint): void
}

/** The engine for any operating system: node:dgram, one thread, every packet handled where it arrives. */
export class PortableEngine implements Engine {
  readonly plane: DataPlane
  readonly driver: Driver
  readonly #clock: Clock
  readonly #esp: BareEndpoint | undefined
  readonly #meter: OuterTraffic | undefined
  #socket: UdpSocket | undefined
  #bare: UdpSocket | undefined
  #kicking = false
  #closed = false

  private constructor({ clock, timers, noise, esp, carried, filter, event, meter, ports }: PortableEngineOptions) {
    this.#clock = clock
    this.#meter = meter
    this.driver = new Driver(clock, timers)
    const transmit = (datagram: Uint8Array, to: Endpoint): boolean => {
      const isSent = (isCarried(to) ? carried : this.#socket)?.send(datagram, to) ?? false
      if (isSent) meter?.sent(datagram.length, to)
      return isSent
    }
    const endpoint = noise({ transmit, event })
    const transmitBare = (datagram: Uint8Array, to: Endpoint): void => void this.#bare?.send(datagram, to)
    this.#esp = esp?.({ transmit, transmitBare, event })
    const { stun, ...rest } = ports
    this.plane = new DataPlane({
      noise: endpoint,
      ...(this.#esp && { esp: this.#esp }),
      filter,
      ports: {
        ...rest,
        transmit,
        ...(stun && { stun }),
      },
    })
    this.driver.add(endpoint)
    if (this.#esp) this.driver.add(this.#esp)
    this.driver.add(filter)
  }

  /** Throws AditError `port-in-use`. */
  static async open(options: PortableEngineOptions): Promise<PortableEngine> {
    const engine = new PortableEngine(options)
    const socket = await UdpSocket.bind({ ...options.bind, onDatagram: (datagram, from) => void engine.receive(datagram, from) })
    engine.#socket = socket
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

  get local(): Endpoint {
    return this.#socket!.local
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
    const result = this.plane.receive(datagram, from, now)
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
    await Promise.all([this.#socket?.close(), this.#bare?.close()])
  }

  #receiveBare(datagram: Uint8Array, from: Endpoint): void {
    if (this.#closed) return
    this.plane.traffic.received++
    this.#esp?.handleBare(datagram, from, this.#clock.now())
    this.kick()
  }
}
