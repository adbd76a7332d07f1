import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import type { Endpoint, TunnelEndpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { type PeerOptions, WireguardEndpoint, type WireguardEndpointOptions } from '#shared/tunnel/wireguard-endpoint.ts'
import { classify } from '#shared/wire/demux.ts'

/** A seeded generator (mulberry32): numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** The native suite with seeded randomness where it draws for us: one seed, one history (X25519 keys apart). */
export function seededSuite(seed: number): Suite {
  const dice = seeded(seed)
  return { ...nativeSuite, random: (length) => Uint8Array.from({ length }, () => Math.floor(dice() * 256)) }
}

export interface Delivery {
  at: number
  bytes: Uint8Array
  from: Endpoint
  to: Endpoint
}

/** Whoever stands at an address. */
export interface Host {
  address: Endpoint
  readonly endpoint: TunnelEndpoint
  receive(datagram: Uint8Array, from: Endpoint): unknown
}

/** One network under virtual time: nodes, and a link with loss and delay that tests steer. */
export class VirtualNetwork {
  now: Instant = instant(1_000)
  /** One-way delay, ms, and probability of loss. */
  delay = 10
  loss = 0
  /** Sees each datagram as it is sent; returns false to drop it. */
  filter: (delivery: Delivery) => boolean = () => true
  readonly sent: Delivery[] = []
  /** Off in long runs. */
  recording = true
  readonly #nodes = new Map<string, Host>()
  readonly #inFlight: Delivery[] = []
  readonly dice: () => number

  constructor(seed = 1) {
    this.dice = seeded(seed)
  }

  add(node: Host): void {
    this.#nodes.set(key(node.address), node)
  }

  remove(node: Host): void {
    this.#nodes.delete(key(node.address))
  }

  move(node: Host, to: Endpoint): void {
    this.#nodes.delete(key(node.address))
    node.address = to
    this.#nodes.set(key(to), node)
  }

  send(bytes: Uint8Array, from: Endpoint, to: Endpoint): void {
    const delivery = { at: this.now + this.delay, bytes: bytes.slice(), from, to }
    if (this.recording) this.sent.push(delivery)
    if (!this.filter(delivery) || this.dice() < this.loss) return
    this.inject(delivery)
  }

  /** Puts a datagram on its way, whoever sent it. */
  inject(delivery: Delivery): void {
    let at = this.#inFlight.length
    while (at > 0 && this.#inFlight[at - 1]!.at > delivery.at) at--
    this.#inFlight.splice(at, 0, delivery)
  }

  /** Lets time pass until `condition` holds (true) or `until` ms have passed (false). */
  run(until: number, condition: () => boolean = () => false): boolean {
    const end = this.now + until
    for (;;) {
      if (condition()) return true
      const next = Math.min(this.#inFlight[0]?.at ?? Number.POSITIVE_INFINITY, ...[...this.#nodes.values()].map(dueOf))
      if (next > end) break
      this.now = instant(Math.max(this.now, next))
      this.#step()
    }
    this.now = instant(end)
    return condition()
  }

  #step(): void {
    for (const node of this.#nodes.values()) if (dueOf(node) <= this.now) node.endpoint.expire(this.now)
    while ((this.#inFlight[0]?.at ?? Number.POSITIVE_INFINITY) <= this.now) {
      const delivery = this.#inFlight.shift()!
      this.#nodes.get(key(delivery.to))?.receive(delivery.bytes, delivery.from)
    }
  }
}

const key = (endpoint: Endpoint): string => `${endpoint.address}|${endpoint.port}`
const dueOf = (node: Host): number => node.endpoint.deadline()?.at ?? Number.POSITIVE_INFINITY

/** One endpoint with what it received and what it was told. */
export class Node {
  readonly network: VirtualNetwork
  readonly key: KeyPair
  readonly endpoint: WireguardEndpoint
  readonly events: TunnelEvent[] = []
  readonly received: { packet: Uint8Array; at: Instant; association: WireguardAssociation }[] = []
  /** The verdict on each datagram that came. */
  readonly verdicts: number[] = []
  address: Endpoint
  #timestamp = 1n

  constructor(network: VirtualNetwork, address: Endpoint, options: Partial<WireguardEndpointOptions> = {}) {
    const suite = options.suite ?? seededSuite(address.port)
    this.network = network
    this.address = address
    this.key = options.staticKey ?? suite.x25519.generate()
    this.endpoint = new WireguardEndpoint({
      suite,
      staticKey: this.key,
      nextTimestamp: () => tai64n(BigInt(Math.floor(network.now)) * 1_000_000n + this.#timestamp++),
      ports: {
        transmit: (datagram, to) => network.send(datagram, this.address, to),
        event: (event) => this.events.push(event),
      },
      ...options,
    })
    network.add(this)
  }

  get now(): Instant {
    return this.network.now
  }

  /** What this node knows of another. */
  peer(other: Node, options: Partial<PeerOptions> = {}): WireguardAssociation {
    return this.endpoint.addPeer({ publicKey: other.key.publicKey, endpoint: other.address, ...options }, this.now)
  }

  to(other: Node): WireguardAssociation {
    return this.endpoint.association(Buffer.from(other.key.publicKey).toString('hex'))!
  }

  /** Seals a packet and sends it; returns the verdict of `seal`. */
  send(other: Node, packet: Uint8Array = ipPacket(64)): number {
    const out = new Uint8Array(packet.length + 64)
    const association = this.to(other)
    const size = association.seal(packet, packet.length, out, this.now)
    if (size > 0) this.network.send(out.subarray(0, size), this.address, association.endpoint!)
    return size
  }

  receive(datagram: Uint8Array, from: Endpoint): number {
    const out = new Uint8Array(datagram.length)
    if (classify(datagram) !== 'wireguard-data') {
      const verdict = this.endpoint.handleControl(datagram, from, this.now)
      this.verdicts.push(verdict)
      return verdict
    }
    const length = this.endpoint.open(datagram, from, out, this.now)
    this.verdicts.push(length)
    if (length > 0)
      this.received.push({
        packet: out.slice(0, length),
        at: this.now,
        association: this.endpoint.opened as WireguardAssociation,
      })
    return length
  }

  count(kind: TunnelEvent['kind']): number {
    return this.events.filter((event) => event.kind === kind).length
  }
}

/** A valid IPv6 header over `length - 40` bytes, the first of which is `mark`. */
export function ipPacket(length: number, mark = 0): Uint8Array {
  const packet = new Uint8Array(length)
  packet[0] = 0x60
  packet[4] = (length - 40) >> 8
  packet[5] = length - 40
  packet[40] = mark
  return packet
}

export const A: Endpoint = { address: '192.0.2.1', port: 1001 }
export const B: Endpoint = { address: '198.51.100.2', port: 4500 }

/** Two nodes that know each other, on one network. */
export function pair(seed = 1, a: Partial<WireguardEndpointOptions> = {}, b: Partial<WireguardEndpointOptions> = {}) {
  const network = new VirtualNetwork(seed)
  const alice = new Node(network, A, { suite: seededSuite(seed), ...a })
  const bob = new Node(network, B, { suite: seededSuite(seed + 1_000_000), ...b })
  return { network, alice, bob }
}

/** As `pair`, with a session that Alice began. Bob knows Alice's key but not her place. */
export function connected(seed = 1, a: Partial<WireguardEndpointOptions> = {}, b: Partial<WireguardEndpointOptions> = {}) {
  const made = pair(seed, a, b)
  const { network, alice, bob } = made
  bob.peer(alice, { endpoint: undefined })
  alice.peer(bob)
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(1_000, () => bob.to(alice).state === 'established')
  return made
}
