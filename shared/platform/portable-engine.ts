import { DataPlane, type DataPlanePorts } from '#shared/dataplane/data-plane.ts'
import type { FlowFilter } from '#shared/dataplane/flow-filter.ts'
import { type Driven, Driver } from '#shared/platform/driver.ts'
import type { Engine } from '#shared/platform/engine.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Endpoint, EndpointPorts, TunnelEndpoint, TunnelEvent } from '#shared/tunnel/association.ts'

export interface PortableEngineOptions {
  clock: Clock
  timers: Timers
  /** Literal address; undefined: all, of both families. Port 0: any free one. */
  bind: { address?: string; port: number }
  /** Makes the WireGuard endpoint on the ports that the engine gives it. */
  noise(ports: EndpointPorts): TunnelEndpoint
  filter: FlowFilter
  event(event: TunnelEvent): void
  ports: Pick<DataPlanePorts, 'deliver' | 'spoofed'> & {
    /** A STUN message arrived; `reply` sends the answer to where it came from. */
    stun?(datagram: Uint8Array, from: Endpoint, reply: (answer: Uint8Array) => void): void
  }
}

/** The engine for any operating system: node:dgram, one thread, every packet handled where it arrives. */
export class PortableEngine implements Engine {
  readonly plane: DataPlane
  readonly driver: Driver
  readonly #clock: Clock
  #socket: UdpSocket | undefined
  #kicking = false
  #closed = false

  private constructor({ clock, timers, noise, filter, event, ports }: PortableEngineOptions) {
    this.#clock = clock
    this.driver = new Driver(clock, timers)
    const transmit = (datagram: Uint8Array, to: Endpoint): boolean => this.#socket?.send(datagram, to) ?? false
    const endpoint = noise({ transmit, event })
    const { stun, ...rest } = ports
    this.plane = new DataPlane({
      noise: endpoint,
      filter,
      ports: {
        ...rest,
        transmit,
        ...(stun && { stun: (datagram, from) => stun(datagram, from, (answer) => transmit(answer, from)) }),
      },
    })
    this.driver.add(endpoint)
    this.driver.add(filter)
  }

  /** Throws AditError `port-in-use`. */
  static async open(options: PortableEngineOptions): Promise<PortableEngine> {
    const engine = new PortableEngine(options)
    const socket = await UdpSocket.bind({ ...options.bind, onDatagram: (datagram, from) => engine.#receive(datagram, from) })
    engine.#socket = socket
    return engine
  }

  get local(): Endpoint {
    return this.#socket!.local
  }

  /** Something else to wake by the same timer: a netstack. */
  drive(driven: Driven): void {
    this.driver.add(driven)
  }

  send(packet: Uint8Array): number {
    this.kick()
    return this.plane.send(packet, this.#clock.now())
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
    await this.#socket?.close()
  }

  #receive(datagram: Uint8Array, from: Endpoint): void {
    if (this.#closed) return
    this.plane.receive(datagram, from, this.#clock.now())
    this.kick()
  }
}
