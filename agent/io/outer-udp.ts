import type { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { seconds } from '#shared/time/instant.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'

/** What is under way to a port that we left still arrives there. */
const KEEP_FORMER = seconds(5)
/** Others that are answered from the port at which they found us, at most. */
const MOST_CALLERS = 256

interface OuterUdpOptions {
  readonly timers: Timers
  onDatagram(datagram: Uint8Array, from: Endpoint): void
  /** `local` has changed. */
  onRebound(): void
  /** Whether the broker may be there, for whom a port is left. */
  isBroker(endpoint: Endpoint): boolean
  /** It has a port already, and hands its datagrams to whoever started it. */
  readonly lane?: LinuxLane | undefined
}

/**
 * The agent's UDP port, which can be left for another one: some boxes on the way remember a port better than they serve it. The one at which
 * the broker answered last, and which others have been told, stays open until it answers at another: where the broker is dead, whoever knew
 * us finds us there.
 */
export class OuterUdp {
  readonly #options: OuterUdpOptions
  readonly #former = new Map<UdpSocket, Timer>()
  /** Who came by a port that is not the one of the moment. */
  readonly #callers = new Map<string, UdpSocket>()
  #socket: UdpSocket | undefined
  /** Where the broker answered last. */
  #home: UdpSocket | undefined
  #rebinding = false
  #closed = false

  private constructor(options: OuterUdpOptions) {
    this.#options = options
  }

  static async open(options: OuterUdpOptions): Promise<OuterUdp> {
    const udp = new OuterUdp(options)
    if (options.lane === undefined) udp.#socket = await udp.#bind()
    return udp
  }

  get local(): Endpoint {
    return (this.#options.lane ?? this.#socket!).local
  }

  send(datagram: Uint8Array, to: Endpoint): boolean {
    const caller = this.#callers.size > 0 ? this.#callers.get(endpointText(to)) : undefined
    return (this.#options.lane ?? caller ?? this.#socket!).send(datagram, to)
  }

  /** The broker answers at the port of the moment: others are told of it. */
  answered(): void {
    const former = this.#home
    this.#home = this.#socket
    if (former === undefined || former === this.#home) return
    this.#callers.clear()
    this.#leave(former)
  }

  /** A new socket on a new port; where the system gives none, the old one goes on. */
  rebind(): void {
    if (this.#rebinding || this.#closed) return
    if (this.#options.lane) return void this.#rebindLane(this.#options.lane)
    this.#rebinding = true
    this.#bind()
      .then((socket) => this.#take(socket))
      .catch(() => {})
      .finally(() => {
        this.#rebinding = false
      })
  }

  async close(): Promise<void> {
    this.#closed = true
    const former = [...this.#former]
    this.#former.clear()
    for (const [, timer] of former) timer.clear()
    const open = new Set([this.#socket, this.#home, ...former.map(([socket]) => socket)])
    await Promise.all([...open].map((socket) => socket?.close()))
  }

  async #bind(): Promise<UdpSocket> {
    const { onDatagram } = this.#options
    const socket: UdpSocket = await UdpSocket.bind({
      port: 0,
      onDatagram: (datagram, from) => {
        if (this.#home !== this.#socket) this.#note(socket, from)
        onDatagram(datagram, from)
      },
    })
    return socket
  }

  #note(socket: UdpSocket, from: Endpoint): void {
    const name = endpointText(from)
    this.#callers.delete(name)
    if (socket !== this.#home || this.#options.isBroker(from)) return
    this.#callers.set(name, socket)
    if (this.#callers.size > MOST_CALLERS) this.#callers.delete(this.#callers.keys().next().value!)
  }

  #rebindLane(lane: LinuxLane): void {
    try {
      lane.rebind()
      this.#options.onRebound()
    } catch {
      // The old port goes on.
    }
  }

  #take(socket: UdpSocket): void {
    if (this.#closed) {
      void socket.close()
      return
    }
    const former = this.#socket!
    this.#socket = socket
    if (former !== this.#home) this.#leave(former)
    this.#options.onRebound()
  }

  #leave(former: UdpSocket): void {
    const timer = this.#options.timers.setTimer(KEEP_FORMER, () => {
      this.#former.delete(former)
      void former.close()
    })
    this.#former.set(former, timer)
  }
}
