import { behindNat64, type Nat64View, withNat64 } from '#shared/nat/nat64-prefix.ts'
import { type Duration, hours, type Instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { FlowMemory } from '#sim/internet/flow-memory.ts'
import { isIpv6, type Packet } from '#sim/internet/packet.ts'
import type { Attachment, Node, Segment, WireQualities } from '#sim/internet/segment.ts'
import type { World } from '#sim/internet/world.ts'
import { perfectLink } from '#sim/link.ts'
import { type Dependence, type NatBehaviour, NatBox } from '#sim/nat-box.ts'

/** What a router lets through; a test changes it while packets are under way. */
export interface RouterRules {
  /** Ports outside that UDP may be sent to; none: UDP is blocked. */
  udpOut: 'all' | readonly number[]
  /** Whether UDP comes in at all; false: it goes out and no answer returns. */
  udpIn: boolean
  tcpOut: 'all' | readonly number[]
  /** Addresses inside or outside that these limits do not hold for: a proxy's. */
  exempt: readonly string[]
  /** Who may reach an inside address that is not translated: all, or whom it has spoken to (by port, address or at all). */
  inbound: 'all' | Dependence
  /** Whether the family is carried; false: it disappears. */
  ipv4: boolean
  ipv6: boolean
  /** Where TCP to any place ends instead: the place of a captive portal inside. */
  portal: Attachment | undefined
  /** What leads from IPv6 inside to IPv4 outside, by addresses of its prefix; or takes them and leads nowhere. */
  nat64: { readonly view: Nat64View; readonly works: boolean } | undefined
}

const openRules: RouterRules = {
  udpOut: 'all',
  udpIn: true,
  tcpOut: 'all',
  exempt: [],
  inbound: 'all',
  ipv4: true,
  ipv6: true,
  portal: undefined,
  nat64: undefined,
}

/** Of TCP through a NAT: REQ-5 of RFC 5382 asks for 2 h 4 min at least. */
const pipeBehaviour: NatBehaviour = {
  mapping: 'endpoint-independent',
  filtering: 'address-and-port-dependent',
  mappingTimeout: hours(2),
  inboundRefresh: true,
  hairpinning: true,
  portPreservation: true,
}

export interface RouterOptions {
  inside: Segment
  /** Its own addresses inside. */
  insideAddresses: readonly string[]
  outside: Segment
  /** Its own addresses outside; with `nat`, IPv4 leaves with these. */
  outsideAddresses: readonly string[]
  wires: WireQualities
  /** Absent: IPv4 is routed as it is. IPv6 is translated by a NAT64 alone. */
  nat?: NatBehaviour
  rules?: Partial<RouterRules>
}

/** Joins a segment to the one above it: forwards, filters, and translates where it is a NAT. */
export class Router implements Node {
  readonly rules: RouterRules
  /** Answers what is sent to the router's own inside address (PCP, NAT-PMP): the answer's bytes, or undefined. */
  service: ((datagram: Uint8Array, from: Endpoint, port: number) => Uint8Array | undefined) | undefined
  readonly nat: NatBox | undefined
  readonly inside: Attachment
  readonly outside: Attachment
  readonly #world: World
  readonly #pipes: NatBox | undefined
  #flows: FlowMemory | undefined

  constructor(world: World, options: RouterOptions) {
    this.#world = world
    this.rules = { ...openRules, ...options.rules }
    this.inside = options.inside.attach(this, options.insideAddresses, { up: perfectLink, down: perfectLink })
    options.inside.gateway = this.inside
    this.outside = options.outside.attach(this, options.outsideAddresses, options.wires)
    const pool = options.outsideAddresses.filter((address) => !isIpv6(address))
    const random = world.random.fork()
    const below = (bound: number): number => random.below(bound)
    this.nat = options.nat && new NatBox(options.nat, pool, below)
    this.#pipes = options.nat && new NatBox(pipeBehaviour, pool, below)
    this.#remember()
  }

  /** A restart: mappings and flows are gone. */
  restart(): void {
    this.nat?.forget()
    this.#pipes?.forget()
    this.#flows?.forget()
  }

  /** Another lease: every mapping goes with the old addresses. */
  renumber(...addresses: readonly string[]): void {
    const kept = this.outside.addresses.filter(isIpv6)
    this.outside.segment.renumber(this.outside, [...addresses, ...kept])
    this.nat?.renumber(...addresses)
    this.#pipes?.renumber(...addresses)
  }

  /** A mapping that an inside host asks for, open to all. */
  ask(inside: Endpoint, lifetime: Duration = hours(2)): Endpoint | undefined {
    return this.nat?.ask(inside, lifetime, this.#world.now())
  }

  receive(packet: Packet, at: Attachment): void {
    if (packet.hops === 0) return
    const now = this.#world.now()
    const onward = { ...packet, hops: packet.hops - 1 }
    if (!(isIpv6(packet.to.address) ? this.rules.ipv6 : this.rules.ipv4)) return
    if (at === this.inside) this.#fromInside(onward, now)
    else this.#fromOutside(onward, now)
  }

  #fromInside(packet: Packet, now: Instant): void {
    if (this.inside.addresses.includes(packet.to.address)) this.#serve(packet)
    else if (this.rules.portal !== undefined && packet.protocol === 'pipe' && !this.#isExempt(packet))
      this.rules.portal.down.send(packet)
    else if (this.#mayLeave(packet)) this.#leaveTranslated(packet, now)
  }

  #leaveTranslated(packet: Packet, now: Instant): void {
    const address = behindNat64(packet.to.address, this.rules.nat64?.view)
    if (address === packet.to.address) this.#leave(packet, now)
    else if (this.rules.nat64?.works) this.#leave({ ...packet, to: { ...packet.to, address } }, now)
  }

  #leave(packet: Packet, now: Instant): void {
    const box = this.#boxFor(packet)
    if (box === undefined) {
      this.#memory()?.went(packet.from, packet.to, now)
      this.outside.send(packet)
      return
    }
    const from = box.outbound(packet.from, packet.to, now)
    if (from === undefined) return
    const translated = { ...packet, from }
    if (box.pool.includes(packet.to.address)) this.#deliver(translated, box, now)
    else this.outside.send(translated)
  }

  #fromOutside(packet: Packet, now: Instant): void {
    if (packet.protocol === 'udp' && !this.rules.udpIn) return
    const box = this.#boxFor(packet)
    if (box?.pool.includes(packet.to.address)) this.#deliver(packet, box, now)
    else if (box !== undefined || this.outside.addresses.includes(packet.to.address)) return
    else if (this.#memory()?.mayCome(packet.to, packet.from, now) ?? true) this.inside.send(packet)
  }

  #deliver(packet: Packet, box: NatBox, now: Instant): void {
    const to = box.inbound(packet.to, packet.from, now)
    if (to === undefined) return
    const [address] = isIpv6(to.address) ? withNat64([packet.from.address], this.rules.nat64?.view) : [packet.from.address]
    this.inside.send({ ...packet, to, from: { ...packet.from, address: address! } })
  }

  #boxFor({ to, protocol }: Packet): NatBox | undefined {
    if (isIpv6(to.address)) return undefined
    return protocol === 'udp' ? this.nat : this.#pipes
  }

  #mayLeave(packet: Packet): boolean {
    const ports = packet.protocol === 'udp' ? this.rules.udpOut : this.rules.tcpOut
    return ports === 'all' || ports.includes(packet.to.port) || this.#isExempt(packet)
  }

  #isExempt({ from, to }: Packet): boolean {
    return this.rules.exempt.includes(from.address) || this.rules.exempt.includes(to.address)
  }

  #serve(packet: Packet): void {
    const answer = packet.protocol === 'udp' ? this.service?.(packet.bytes, packet.from, packet.to.port) : undefined
    if (answer !== undefined) this.inside.send({ ...packet, from: packet.to, to: packet.from, bytes: answer, icmp: undefined })
  }

  #memory(): FlowMemory | undefined {
    if (this.rules.inbound === 'all') return undefined
    if (this.#flows?.filtering !== this.rules.inbound) this.#remember()
    return this.#flows
  }

  #remember(): void {
    this.#flows = this.rules.inbound === 'all' ? undefined : new FlowMemory(this.rules.inbound)
  }
}
