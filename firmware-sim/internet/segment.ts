import { isIpv6, type Packet } from '#sim/internet/packet.ts'
import { Wire } from '#sim/internet/wire.ts'
import type { World } from '#sim/internet/world.ts'
import type { LinkQuality } from '#sim/link.ts'

/** What stands at the end of a wire: a host or a router. */
export interface Node {
  receive(packet: Packet, at: Attachment): void
}

export interface WireQualities {
  /** From the node into the segment, and back. */
  up: LinkQuality
  down: LinkQuality
}

/** A node's place on a segment. */
export class Attachment {
  readonly segment: Segment
  readonly node: Node
  readonly up: Wire
  readonly down: Wire
  addresses: readonly string[]

  constructor(segment: Segment, node: Node, addresses: readonly string[], { up, down }: WireQualities) {
    this.segment = segment
    this.node = node
    this.addresses = addresses
    this.up = new Wire(segment.world, up, (packet) => segment.carry(packet, this))
    this.down = new Wire(segment.world, down, (packet) => node.receive(packet, this))
  }

  send(packet: Packet): void {
    this.up.send(packet)
  }
}

/**
 * A piece of network on which everybody reaches everybody: a LAN, an access network, or the open internet between them. What is on
 * link is found by address, the rest goes by prefix or to the gateway; the open internet has none, and drops what it does not know.
 */
export class Segment {
  readonly world: World
  readonly name: string
  /** Of addresses on link: `192.168.1.` of a /24, `2001:db8:1:2:` of a /64. */
  readonly prefixes: readonly string[]
  gateway: Attachment | undefined
  /** Neighbours do not hear each other (guest Wi-Fi): only the gateway is reached. */
  isolated = false
  readonly #attached = new Map<string, Attachment>()
  readonly #routes = new Map<string, Attachment>()

  constructor(world: World, name: string, prefixes: readonly string[]) {
    this.world = world
    this.name = name
    this.prefixes = prefixes
  }

  attach(node: Node, addresses: readonly string[], wires: WireQualities): Attachment {
    const attachment = new Attachment(this, node, addresses, wires)
    for (const address of addresses) this.#attached.set(address, attachment)
    return attachment
  }

  /** Gives the node other addresses; what comes for the old ones is lost. */
  renumber(attachment: Attachment, addresses: readonly string[]): void {
    for (const address of attachment.addresses) this.#attached.delete(address)
    attachment.addresses = addresses
    for (const address of addresses) this.#attached.set(address, attachment)
  }

  /** Addresses that begin with `prefix` (`2001:db8:1:2:`, `203.0.113.`) are behind this node. */
  route(prefix: string, attachment: Attachment): void {
    this.#routes.set(prefix, attachment)
  }

  isOnLink(address: string): boolean {
    return this.prefixes.some((prefix) => address.startsWith(prefix))
  }

  carry(packet: Packet, from: Attachment): void {
    const to = this.#next(packet.to.address)
    // What comes back to where it came from would go round for ever.
    if (to === undefined || to === from) return
    if (this.isolated && to !== this.gateway && from !== this.gateway) return
    to.down.send(packet)
  }

  #next(address: string): Attachment | undefined {
    const attached = this.#attached.get(address)
    if (attached !== undefined || this.isOnLink(address)) return attached
    return this.#routes.get(prefixOf(address)) ?? this.gateway
  }
}

/** The /24 or /64 of an address, as `Segment` writes them: its first four groups are always written out. */
const prefixOf = (address: string): string =>
  isIpv6(address) ? `${address.split(':', 4).join(':')}:` : address.slice(0, address.lastIndexOf('.') + 1)
