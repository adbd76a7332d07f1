import type { Instant } from '#shared/time/instant.ts'
import { type Packet, packetForm } from '#sim/internet/packet.ts'
import type { Actor, World } from '#sim/internet/world.ts'
import { Link, type LinkQuality } from '#sim/link.ts'

/** One direction between a node and a segment: a `Link` whose packets arrive by themselves. */
export class Wire implements Actor {
  due: Instant
  slot = -1
  /** A router speaks up where a packet is too big (ICMP); a black hole says nothing. */
  saysTooBig = false
  readonly #world: World
  readonly #link: Link<Packet>
  readonly #arrive: (packet: Packet) => void

  constructor(world: World, quality: LinkQuality, arrive: (packet: Packet) => void) {
    this.#world = world
    this.due = world.now()
    this.#arrive = arrive
    this.#link = new Link(quality, world.random.fork(), packetForm)
  }

  get quality(): LinkQuality {
    return this.#link.quality
  }

  /** Changes the wire for packets sent from now on. */
  set quality(quality: LinkQuality) {
    this.#link.quality = quality
  }

  send(packet: Packet): void {
    const { mtu } = this.quality
    if (this.saysTooBig && mtu !== undefined && !this.#link.fits(packet)) packet.icmp?.({ kind: 'too-big', mtu })
    this.#link.send(packet, this.#world.now())
    this.#arm()
  }

  act(now: Instant): void {
    for (const packet of this.#link.arrivals(now)) this.#arrive(packet)
    this.#arm()
  }

  #arm(): void {
    const deadline = this.#link.deadline()
    if (deadline !== undefined) this.#world.schedule(this, deadline.at)
  }
}
