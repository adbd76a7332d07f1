import type { Instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { FlowMemory } from '#sim/internet/flow-memory.ts'
import { type Icmp, isIpv6, type Packet } from '#sim/internet/packet.ts'
import type { Attachment, Node, Segment, WireQualities } from '#sim/internet/segment.ts'
import type { World } from '#sim/internet/world.ts'

/** Where a system takes ports from that nobody chose. */
const ephemeral = { first: 32_768, count: 28_232 }
const hopLimit = 64

export type Receive = (datagram: Uint8Array, from: Endpoint, to: Endpoint) => void

/** A UDP socket on all addresses of a host. */
export class UdpSocket {
  readonly host: Host
  readonly port: number
  onDatagram: Receive = () => {}
  onIcmp: (to: Endpoint, word: Icmp) => void = () => {}

  constructor(host: Host, port: number) {
    this.host = host
    this.port = port
  }

  /** The bytes are copied. `from`: one of the host's addresses; by default that of the way to `to`. */
  send(datagram: Uint8Array, to: Endpoint, from?: string): void {
    const icmp = (word: Icmp): void => this.onIcmp(to, word)
    this.host.send({ protocol: 'udp', to, bytes: datagram.slice(), icmp }, this.port, from)
  }

  close(): void {
    this.host.release(this)
  }
}

export type Outgoing = Pick<Packet, 'protocol' | 'to' | 'bytes'> & Partial<Pick<Packet, 'segment' | 'icmp'>>

/** A machine with interfaces, addresses and sockets; it forwards nothing. */
export class Host implements Node {
  readonly world: World
  readonly name: string
  /** Sees what the host sends, with its source; false drops it. */
  onSend: (packet: Packet) => boolean = () => true
  onPipe: (packet: Packet) => void = () => {}
  /** The host's own stateful firewall for UDP, where it has one. */
  firewall: FlowMemory | undefined
  /** Answers under whatever address it was asked by, as a captive portal does. */
  impersonates = false
  /** Says by ICMP that a port is bound by nobody. Most firewalls swallow such words. */
  saysUnreachable = false
  readonly #attachments: Attachment[] = []
  readonly #sockets = new Map<number, UdpSocket>()

  constructor(world: World, name: string) {
    this.world = world
    this.name = name
  }

  /** In order of preference: the first one that has an address of the family is the way out. */
  get attachments(): readonly Attachment[] {
    return this.#attachments
  }

  get addresses(): string[] {
    return this.#attachments.flatMap(({ addresses }) => addresses)
  }

  attach(segment: Segment, addresses: readonly string[], wires: WireQualities): Attachment {
    const attachment = segment.attach(this, addresses, wires)
    this.#attachments.push(attachment)
    return attachment
  }

  /** The interface goes down; its addresses with it. */
  detach(attachment: Attachment): void {
    attachment.segment.renumber(attachment, [])
    const at = this.#attachments.indexOf(attachment)
    if (at >= 0) this.#attachments.splice(at, 1)
  }

  /** The interface becomes the first choice. */
  prefer(attachment: Attachment): void {
    const at = this.#attachments.indexOf(attachment)
    if (at > 0) this.#attachments.unshift(...this.#attachments.splice(at, 1))
  }

  /** Throws RangeError where the port is taken. Without a port: a free one by chance. */
  bind(port: number = this.freePort()): UdpSocket {
    if (this.#sockets.has(port)) throw new RangeError(`${this.name} has bound UDP port ${port} already`)
    const socket = new UdpSocket(this, port)
    this.#sockets.set(port, socket)
    return socket
  }

  release(socket: UdpSocket): void {
    if (this.#sockets.get(socket.port) === socket) this.#sockets.delete(socket.port)
  }

  /** As when its programs end. */
  releaseAll(): void {
    this.#sockets.clear()
  }

  freePort(): number {
    for (;;) {
      const port = ephemeral.first + this.world.random.below(ephemeral.count)
      if (!this.#sockets.has(port)) return port
    }
  }

  /** By the interface of `from`, or the first that has a way to the destination. Without one, nothing happens. */
  send(outgoing: Outgoing, port: number, from?: string): void {
    const { address } = outgoing.to
    const at = from === undefined ? this.#wayTo(address) : this.#interfaceOf(from)
    const source = from ?? at?.addresses.find((own) => isIpv6(own) === isIpv6(address))
    if (at === undefined || source === undefined) return
    const packet: Packet = { ...outgoing, from: { address: source, port }, hops: hopLimit }
    if (!this.onSend(packet)) return
    if (this.#owns(address)) this.receive(packet, at)
    else {
      if (packet.protocol === 'udp') this.firewall?.went(packet.from, packet.to, this.world.now())
      at.send(packet)
    }
  }

  receive(packet: Packet, _at: Attachment): void {
    if (packet.protocol === 'pipe') this.onPipe(packet)
    else if (this.#mayCome(packet, this.world.now())) this.#deliver(packet)
  }

  #deliver({ to, from, bytes, icmp }: Packet): void {
    const socket = this.#sockets.get(to.port)
    if (socket !== undefined) socket.onDatagram(bytes, from, to)
    else if (this.saysUnreachable) icmp?.({ kind: 'port-unreachable' })
  }

  #owns(address: string): boolean {
    for (const { addresses } of this.#attachments) if (addresses.includes(address)) return true
    return false
  }

  #interfaceOf(own: string): Attachment | undefined {
    const at = this.#attachments.find(({ addresses }) => addresses.includes(own))
    return at ?? (this.impersonates ? this.#attachments[0] : undefined)
  }

  #mayCome({ to, from }: Packet, now: Instant): boolean {
    return this.firewall === undefined || this.#owns(from.address) || this.firewall.mayCome(to, from, now)
  }

  #wayTo(address: string): Attachment | undefined {
    const [only] = this.#attachments
    const family = isIpv6(address)
    if (this.#attachments.length === 1) return only!.addresses.some((own) => isIpv6(own) === family) ? only : undefined
    const ways = this.#attachments.filter(({ addresses }) => addresses.some((own) => isIpv6(own) === family))
    return ways.find(({ segment }) => segment.isOnLink(address)) ?? ways[0]
  }
}
