import type { Suite } from '#shared/crypto/suite.ts'
import type { DropCounters } from '#shared/drop-reason.ts'
import type { NetstackOptions } from '#shared/netstack/options.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { AgentConfig } from './agent-config.ts'
import type { BrokerWay } from './broker-way.ts'
import type { DirectPeers } from './direct/direct-peers.ts'
import { InnerEnd } from './inner-end.ts'
import type { KernelEnd } from './kernel-end.ts'
import { KernelRoad } from './kernel-road.ts'
import type { PathCare } from './path-care.ts'
import { LARGE } from './path-health.ts'

const NOTHING: readonly string[] = []

export interface InnerRoadsParts {
  readonly suite: Suite
  readonly clock: Clock
  readonly netstack: Pick<NetstackOptions, 'limits' | 'defer'> | undefined
  readonly kernel: KernelEnd | undefined
  readonly counters: DropCounters
  /** These are made after the roads. */
  way(): BrokerWay
  care(): PathCare
  direct(): DirectPeers | undefined
  /** With the broker. */
  association(): Association | undefined
  wake(): void
}

/**
 * The roads of inner packets: what an association has opened goes to the netstack or the kernel, what these say to the association with
 * the one whom it is for.
 *
 *   association -> source in the routes? -> believed? -> probe? -> netstack | kernel
 *   netstack | kernel -> fits the path? -> association with another end | with the broker
 */
export class InnerRoads {
  readonly end: InnerEnd
  readonly #parts: InnerRoadsParts
  readonly #kernel: KernelRoad | undefined
  /** The broker's own inner addresses. */
  #broker = NOTHING

  constructor(parts: InnerRoadsParts) {
    const { suite, clock, netstack, kernel, counters, wake } = parts
    this.#parts = parts
    this.#kernel = kernel && new KernelRoad(kernel, counters)
    this.end = new InnerEnd({
      ...{ suite, clock, counters, wake },
      netstack: { ...netstack, besideKernel: kernel !== undefined },
      send: (packet, asks) => this.#outbound(packet, asks),
      give: (packet) => this.give(packet, undefined),
    })
  }

  configure(config: AgentConfig): void {
    this.#broker = config.broker.inner
    this.end.configure(config)
  }

  isBroker(address: string): boolean {
    return this.#broker.includes(address)
  }

  /** The largest packet that the path to the broker takes, bytes. */
  resize(mtu: number): void {
    this.end.resize(mtu)
    this.#kernel?.end.resize(mtu, this.#parts.association())
  }

  /** What an association has opened, and whence it came; empty for a packet without content. */
  arrived(association: Association | undefined, packet: Uint8Array, from: Endpoint): void {
    const direct = this.#parts.direct()
    if (association !== this.#parts.association()) direct?.opened(association, packet, from)
    // One that an association with its sender should have brought may not go on.
    else if (packet.length > 0 && this.end.admits(packet) && (direct?.admits(packet, this.#broker) ?? true))
      this.#deliver(packet, from)
  }

  /** To whom it is for, the netstack or the kernel; `from` undefined: it is a word of our own. */
  give(packet: Uint8Array, from: Association | undefined): void {
    const { association, direct } = this.#parts
    if (!this.#kernel?.takes(packet)) this.end.netstack.input(packet)
    else if (from === undefined) this.#kernel.end.deliver(packet)
    else this.#kernel.arrived(packet, from, from === association() && (direct()?.isClosedToHub ?? false))
  }

  /** A packet of the kernel's. */
  fromKernel(packet: Uint8Array): void {
    this.end.outbound(packet, (within, asks) => this.#outbound(within, asks, true))
  }

  /** A sealed packet for another end: only what is large is surely of a kind that is answered. */
  relay(packet: Uint8Array): void {
    this.#parts.care().sent(packet.length, packet.length >= LARGE, this.#parts.clock.now())
    this.send(packet)
  }

  /** To the broker. False: it did not go, and why is counted. */
  send(packet: Uint8Array, beside?: Endpoint): boolean {
    const refused = this.#parts.way().carry(packet, this.#parts.clock.now(), beside)
    if (refused < 0) this.#parts.counters.count(refused)
    return refused >= 0
  }

  #deliver(packet: Uint8Array, from: Endpoint): void {
    const { care, way, association, clock } = this.#parts
    if (!care().heard(packet, clock.now())) this.give(packet, association())
    // A probe came back on the way that is being tried: the search is over, with or without a handshake.
    else if (way().searching && way().accepts(from)) way().found(from)
  }

  /** A packet of the kernel's, or of the netstack's, whose flows do not take the fast road. */
  #outbound(packet: Uint8Array, asks: boolean, isKernels = false): void {
    const { care, clock, association } = this.#parts
    const direct = this.#parts.direct()
    if (direct?.outbound(packet, this.#broker)) {
      const to = isKernels ? direct.shortcut(packet) : undefined
      if (to) this.#kernel?.left(packet, to)
      return
    }
    care().sent(packet.length, asks, clock.now())
    const to = association()
    // What the association does not take, such as a source that was not negotiated, the fast road must not take either.
    if (this.send(packet) && isKernels && to) this.#kernel?.left(packet, to)
  }
}
