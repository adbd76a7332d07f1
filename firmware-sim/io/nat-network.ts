import { createSocket, type Socket } from 'node:dgram'
import { systemClock } from '#shared/platform/clock.ts'
import { backgroundTimers, type Timer } from '#shared/platform/timers.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { Link, type LinkQuality } from '#sim/link.ts'
import { type NatBehaviour, NatBox } from '#sim/nat-box.ts'
import type { SeededRandom } from '#sim/seeded-random.ts'

interface Travelling {
  datagram: Uint8Array
  from: Endpoint
  to: Endpoint
}

/** A place on the inside of the NAT. */
export interface InsideHost {
  send(datagram: Uint8Array, to: Endpoint): void
  leave(): void
}

/**
 * A site: hosts on a private network behind one NAT box, whose outside is real. Every mapping has a UDP socket of its own on
 * loopback, so that a broker sees what a NAT would show it: one source port for each mapping, and a new one when it died.
 */
export class NatNetwork {
  /** Nothing passes in either direction while true. */
  blocked = false
  readonly #box: NatBox
  readonly #toOutside: Link<Travelling>
  readonly #toInside: Link<Travelling>
  readonly #hosts = new Map<string, (datagram: Uint8Array, from: Endpoint) => void>()
  readonly #sockets = new Map<number, Socket>()
  readonly #outsideAddress: string
  #wake: { at: number; timer: Timer } | undefined
  #sweep: Timer

  constructor(behaviour: NatBehaviour, quality: LinkQuality, random: SeededRandom, outsideAddress = '127.0.0.1') {
    this.#outsideAddress = outsideAddress
    this.#box = new NatBox(behaviour, outsideAddress, (bound) => random.below(bound))
    this.#toOutside = new Link(quality, random.fork())
    this.#toInside = new Link(quality, random.fork())
    this.#sweep = this.#sweepLater()
  }

  /** Joins the inside with a private address and port. */
  join(inside: Endpoint, receive: (datagram: Uint8Array, from: Endpoint) => void): InsideHost {
    const place = `${inside.address} ${inside.port}`
    this.#hosts.set(place, receive)
    return {
      send: (datagram, to) => {
        this.#toOutside.send({ datagram: datagram.slice(), from: inside, to }, systemClock.now())
        this.#pump()
      },
      leave: () => this.#hosts.delete(place),
    }
  }

  /** The box restarts: every mapping is lost, and with it every outside port. */
  forgetMappings(): void {
    this.#box.forget()
    this.#closeSockets([...this.#sockets.keys()])
  }

  close(): void {
    this.#sweep.clear()
    this.#wake?.timer.clear()
    this.#closeSockets([...this.#sockets.keys()])
    this.#hosts.clear()
  }

  #pump(): void {
    const now = systemClock.now()
    for (const { datagram, from, to } of this.#toOutside.arrivals(now)) {
      const outside = this.blocked ? undefined : this.#box.outbound(from, to, now)
      if (outside) this.#socketOf(outside.port).send(datagram, to.port, to.address)
    }
    for (const { datagram, from, to } of this.#toInside.arrivals(now)) {
      const inside = this.blocked ? undefined : this.#box.inbound(to, from, now)
      if (inside) this.#hosts.get(`${inside.address} ${inside.port}`)?.(datagram, from)
    }
    this.#armWake()
  }

  #armWake(): void {
    const at = Math.min(this.#toOutside.deadline()?.at ?? Infinity, this.#toInside.deadline()?.at ?? Infinity)
    if (at === Infinity || (this.#wake && this.#wake.at <= at)) return
    this.#wake?.timer.clear()
    const timer = backgroundTimers.setTimer(milliseconds(at - systemClock.now()), () => {
      this.#wake = undefined
      this.#pump()
    })
    this.#wake = { at, timer }
  }

  #socketOf(outsidePort: number): Socket {
    const known = this.#sockets.get(outsidePort)
    if (known) return known
    const socket = createSocket('udp4')
    const to = { address: this.#outsideAddress, port: outsidePort }
    socket.on('message', (datagram, { address, port }) => {
      this.#toInside.send({ datagram, from: { address, port }, to }, systemClock.now())
      this.#pump()
    })
    // a destination that refuses is a loss like any other
    socket.on('error', () => {})
    socket.bind(0, this.#outsideAddress)
    socket.unref()
    this.#sockets.set(outsidePort, socket)
    return socket
  }

  #sweepLater(): Timer {
    return backgroundTimers.setTimer(seconds(30), () => {
      this.#closeSockets(this.#box.sweep(systemClock.now()))
      this.#sweep = this.#sweepLater()
    })
  }

  #closeSockets(ports: readonly number[]): void {
    for (const port of ports) {
      this.#sockets.get(port)?.close()
      this.#sockets.delete(port)
    }
  }
}
