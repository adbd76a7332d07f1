import type { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

/** What is under way to a port that we left still arrives there. */
const KEEP_FORMER = seconds(5)

/** The agent's UDP port, which can be left for another one: some boxes on the way remember a port better than they serve it. */
export class OuterUdp {
  readonly #lane: LinuxLane | undefined
  readonly #timers: Timers
  readonly #onDatagram: (datagram: Uint8Array, from: Endpoint) => void
  readonly #onRebound: () => void
  readonly #former = new Map<UdpSocket, Timer>()
  #socket: UdpSocket | undefined
  #rebinding = false
  #closed = false

  private constructor(
    socket: UdpSocket | LinuxLane,
    timers: Timers,
    onDatagram: (datagram: Uint8Array, from: Endpoint) => void,
    onRebound: () => void,
  ) {
    if (socket instanceof UdpSocket) this.#socket = socket
    else this.#lane = socket
    this.#timers = timers
    this.#onDatagram = onDatagram
    this.#onRebound = onRebound
  }

  /** `onRebound`: `local` has changed. A `lane` has a port already, and hands its datagrams to whoever started it. */
  static async open(
    timers: Timers,
    onDatagram: (datagram: Uint8Array, from: Endpoint) => void,
    onRebound: () => void = () => {},
    lane?: LinuxLane,
  ): Promise<OuterUdp> {
    return new OuterUdp(lane ?? (await UdpSocket.bind({ port: 0, onDatagram })), timers, onDatagram, onRebound)
  }

  get local(): Endpoint {
    return (this.#lane ?? this.#socket!).local
  }

  send(datagram: Uint8Array, to: Endpoint): boolean {
    return (this.#lane ?? this.#socket!).send(datagram, to)
  }

  /** A new socket on a new port; where the system gives none, the old one goes on. */
  rebind(): void {
    if (this.#rebinding || this.#closed) return
    if (this.#lane) return void this.#rebindLane(this.#lane)
    this.#rebinding = true
    UdpSocket.bind({ port: 0, onDatagram: this.#onDatagram })
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
    await Promise.all([this.#socket?.close(), ...former.map(([socket]) => socket.close())])
  }

  #rebindLane(lane: LinuxLane): void {
    try {
      lane.rebind()
      this.#onRebound()
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
    const timer = this.#timers.setTimer(KEEP_FORMER, () => {
      this.#former.delete(former)
      void former.close()
    })
    this.#former.set(former, timer)
    this.#onRebound()
  }
}
