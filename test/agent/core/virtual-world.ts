import type { AgentConfig } from '#agent/core/agent-config.ts'
import { AgentCore, type AgentEvent } from '#agent/core/agent-core.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { type Clock, type Instant, instant, wallTime } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { nanosecondsOf, TimestampFloor } from '#shared/tunnel/tai64n.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { classify } from '#shared/wire/demux.ts'
import { carriedBy, isCarried } from '#shared/wire/endpoint.ts'
import { answerBinding } from '#shared/wire/stun-answer.ts'
import { seeded, seededSuite } from '#test/shared/tunnel/virtual-link.ts'

interface Party {
  receive(datagram: Uint8Array, from: Endpoint): void
  expire(now: Instant): void
  deadline(): { at: Instant } | undefined
}

const headersTo = ({ address }: Endpoint): number => (address.includes(':') ? 48 : 28)

const textOf = ({ address, port }: Endpoint): string => `${address}|${port}`

/** Agents and brokers on one lossy network, under virtual time. */
export class World implements Clock {
  wallOffset: number
  delayMs = 20
  loss = 0
  /** Outer bytes, IP header included, that pass over UDP. */
  mtu = 1500
  /** UDP leaves each address at this rate, behind what left before; what finds no room in the queue is lost. */
  rate: { bitsPerSecond: number; queueBytes: number } | undefined
  /** Up to so much is added to the delay of each datagram, so that some overtake others. */
  jitterMs = 0
  /** Sees each datagram; false drops it. */
  filter: (datagram: Uint8Array, from: Endpoint, to: Endpoint) => boolean = () => true
  datagrams = 0
  readonly #dice: () => number
  readonly #parties = new Map<string, Party>()
  readonly #flights: { at: number; bytes: Uint8Array; from: Endpoint; to: Endpoint }[] = []
  /** When the last bit that waits at an address has left. */
  readonly #freeAt = new Map<string, number>()
  #now = 1_000

  constructor(seed = 1, wallOffset = 1_780_000_000_000) {
    this.#dice = seeded(seed)
    this.wallOffset = wallOffset
  }

  now(): Instant {
    return instant(this.#now)
  }

  wall() {
    return wallTime(this.wallOffset + this.#now)
  }

  add(at: Endpoint, party: Party): void {
    this.#parties.set(textOf(at), party)
  }

  remove(at: Endpoint): void {
    this.#parties.delete(textOf(at))
  }

  /** A party has another address, and none at the one before: so does a NAT that has forgotten whom it served look from outside. */
  move(party: Party & { at: Endpoint }, to: Endpoint): void {
    this.remove(party.at)
    party.at = to
    this.add(to, party)
  }

  /** A way that is no UDP loses nothing and has no MTU. */
  send(datagram: Uint8Array, from: Endpoint, to: Endpoint): void {
    this.datagrams += 1
    if (!this.filter(datagram, from, to)) return
    const lost = this.#dice() < this.loss
    if (!isCarried(to) && (lost || datagram.length + headersTo(to) > this.mtu)) return
    const leaves = isCarried(to) ? this.#now : this.#leavesAt(datagram.length + headersTo(to), from.address)
    if (leaves === undefined) return
    const at = leaves + this.delayMs + (this.jitterMs > 0 ? this.jitterMs * this.#dice() : 0)
    let place = this.#flights.length
    while (place > 0 && this.#flights[place - 1]!.at > at) place--
    this.#flights.splice(place, 0, { at, bytes: datagram.slice(), from, to })
  }

  #leavesAt(bytes: number, address: string): number | undefined {
    if (this.rate === undefined) return this.#now
    const { bitsPerSecond, queueBytes } = this.rate
    const waiting = Math.max(0, (this.#freeAt.get(address) ?? 0) - this.#now)
    if ((waiting * bitsPerSecond) / 8_000 + bytes > queueBytes) return undefined
    const leaves = this.#now + waiting + (bytes * 8_000) / bitsPerSecond
    this.#freeAt.set(address, leaves)
    return leaves
  }

  /** Lets `ms` pass, or less where `until` holds earlier. Returns whether it holds. */
  run(ms: number, until: () => boolean = () => false): boolean {
    const end = this.#now + ms
    while (!until()) {
      const dues = [...this.#parties.values()].map((party) => party.deadline()?.at ?? Number.POSITIVE_INFINITY)
      const next = Math.min(this.#flights[0]?.at ?? Number.POSITIVE_INFINITY, ...dues)
      if (next > end) {
        this.#now = end
        return until()
      }
      this.#now = Math.max(this.#now, next)
      for (const party of [...this.#parties.values()])
        if ((party.deadline()?.at ?? end + 1) <= this.#now) party.expire(this.now())
      while (this.#flights[0] !== undefined && this.#flights[0].at <= this.#now) {
        const { bytes, from, to } = this.#flights.shift()!
        this.deliver(to, bytes, from)
      }
    }
    return true
  }

  deliver(to: Endpoint, bytes: Uint8Array, from: Endpoint): void {
    this.#parties.get(textOf(to))?.receive(bytes, from)
  }
}

/** A broker for one fleet: a responder that admits the keys it knows, with a netstack behind it. */
export class VirtualBroker {
  readonly world: World
  readonly at: Endpoint
  readonly suite
  readonly key: KeyPair
  readonly endpoint: WireguardEndpoint
  readonly netstack: Netstack
  /** Hex of tunnel keys, with the greatest timestamp taken from each. */
  readonly known = new Map<string, Uint8Array | undefined>()
  /** Data and questions that it takes: a partial failure. */
  answersStun = true
  readonly #timestamps: TimestampFloor

  constructor(world: World, at: Endpoint, key?: KeyPair, known?: VirtualBroker['known']) {
    this.world = world
    this.at = at
    this.suite = seededSuite(at.port + 77)
    this.key = key ?? this.suite.x25519.generate()
    for (const [hex, timestamp] of known ?? []) this.known.set(hex, timestamp)
    this.#timestamps = new TimestampFloor({ wall: () => world.wall(), reserve: () => {} })
    this.endpoint = new WireguardEndpoint({
      suite: this.suite,
      staticKey: this.key,
      nextTimestamp: () => this.#timestamps.next(),
      admit: (publicKey) => {
        const hex = toHex(publicKey)
        return this.known.has(hex) ? { lastTimestamp: this.known.get(hex) } : undefined
      },
      ports: {
        transmit: (datagram, to) => this.send(datagram, to),
        event: (event) => {
          const association = event.association as WireguardAssociation
          if (event.kind === 'timestamp') this.known.set(association.peerKey, association.lastTimestamp)
        },
      },
    })
    this.netstack = new Netstack({
      suite: this.suite,
      clock: world,
      addresses: ['fd00:adad::1', '100.64.0.1'],
      transmit: (packet) => this.#outbound(packet),
    })
    world.add(at, this)
  }

  /** Listens at another address too, or at the end of a way that carries datagrams. */
  alsoAt(...places: readonly Endpoint[]): void {
    for (const at of places) {
      const own = { receive: (bytes: Uint8Array, from: Endpoint) => this.receive(bytes, from, at) }
      this.world.add(at, { ...own, expire: () => {}, deadline: () => undefined })
    }
  }

  /** Answers from the address at which the peer spoke to it last. */
  send(datagram: Uint8Array, to: Endpoint): void {
    this.world.send(datagram, this.#spokenTo.get(textOf(to)) ?? this.at, to)
  }

  readonly #spokenTo = new Map<string, Endpoint>()

  association(agent: VirtualAgent): WireguardAssociation | undefined {
    return this.endpoint.association(toHex(agent.key.publicKey))
  }

  receive(datagram: Uint8Array, from: Endpoint, at = this.at): void {
    this.#spokenTo.set(textOf(from), at)
    const kind = classify(datagram)
    if (kind === 'stun' && this.answersStun) this.#answerStun(datagram, from)
    if (kind === 'wireguard-handshake') this.endpoint.handleControl(datagram, from, this.world.now())
    if (kind !== 'wireguard-data') return
    const out = new Uint8Array(datagram.length)
    const length = this.endpoint.open(datagram, from, out, this.world.now())
    if (length > 0) this.netstack.input(out.subarray(0, length))
  }

  #answerStun(request: Uint8Array, from: Endpoint): void {
    const answer = answerBinding(request, from)
    if (answer) this.send(answer, from)
  }

  expire(now: Instant): void {
    this.endpoint.expire(now)
    this.netstack.expire(now)
  }

  deadline() {
    const [a, b] = [this.endpoint.deadline(), this.netstack.deadline()]
    return a && b ? (a.at < b.at ? a : b) : (a ?? b)
  }

  /** One agent a test: whatever the netstack sends goes there. */
  #outbound(packet: Uint8Array): void {
    for (const association of this.endpoint.associations()) {
      const out = new Uint8Array(packet.length + 64)
      const length = association.seal(packet, packet.length, out, this.world.now())
      if (length > 0 && association.endpoint) this.send(out.subarray(0, length), association.endpoint)
    }
  }
}

/** An AgentCore at an address. */
export class VirtualAgent {
  readonly world: World
  at: Endpoint
  readonly suite
  readonly key: KeyPair
  readonly core: AgentCore
  readonly events: AgentEvent[] = []
  readonly timestamps: TimestampFloor
  /** What the broker knows the far end of a carried way by. */
  readonly carried = carriedBy('websocket', 77)
  rebinds = 0
  readonly sent: { at: number; bytes: Uint8Array; to: Endpoint }[] = []

  constructor(world: World, at: Endpoint, seed = 5, key?: KeyPair) {
    this.world = world
    this.at = at
    this.suite = seededSuite(seed)
    this.key = key ?? this.suite.x25519.generate()
    this.timestamps = new TimestampFloor({ wall: () => world.wall(), reserve: () => {} })
    this.core = new AgentCore({
      suite: this.suite,
      clock: world,
      tunnelKey: this.key,
      ports: {
        send: (datagram, to) => {
          this.sent.push({ at: world.now(), bytes: datagram.slice(), to })
          world.send(datagram, isCarried(to) ? this.carried : this.at, to)
        },
        rebind: () => {
          this.rebinds++
          world.move(this, { ...this.at, port: this.at.port + 1 })
        },
        nextTimestamp: () => this.timestamps.next(),
        wake: () => {},
        event: (event) => this.events.push(event),
      },
    })
    world.add(at, this)
    world.add(this.carried, { receive: (bytes, from) => this.receive(bytes, from), expire: () => {}, deadline: () => undefined })
  }

  receive(datagram: Uint8Array, from: Endpoint): void {
    this.core.receive(datagram, from)
  }

  expire(now: Instant): void {
    this.core.expire(now)
  }

  deadline() {
    return this.core.deadline()
  }

  get isUp(): boolean {
    return this.core.state === 'up'
  }

  count(kind: AgentEvent['kind']): number {
    return this.events.filter((event) => event.kind === kind).length
  }
}

export const brokerAt: Endpoint = { address: '198.51.100.2', port: 4500 }
export const otherBrokerAt: Endpoint = { address: '2001:db8::2', port: 4500 }
export const agentAt: Endpoint = { address: '192.0.2.1', port: 40_001 }

export function configFor(broker: VirtualBroker, change: Partial<AgentConfig> = {}): AgentConfig {
  return {
    name: 'pi',
    role: 'device',
    id: '01',
    fleet: { prefix: 'fd00:adad::/48' },
    broker: {
      tunnelKey: Buffer.from(broker.key.publicKey).toString('base64'),
      endpoints: [`${broker.at.address}:${broker.at.port}`],
      inner: ['fd00:adad::1', '100.64.0.1'],
      mqttPort: 1883,
    },
    inner: { addresses: ['fd00:adad::99', '100.64.0.9'], mtu: 1280 },
    keepaliveSeconds: 25,
    time: 0,
    certificate: { notAfter: 0 },
    routes: ['fd00:adad::/48', '100.64.0.0/10'],
    ...change,
  }
}

/** An agent and its broker, configured, not yet up. */
export function pair(seed = 1, wallOffset?: number) {
  const world = new World(seed, wallOffset)
  const broker = new VirtualBroker(world, brokerAt)
  const agent = new VirtualAgent(world, agentAt, seed + 5)
  broker.known.set(toHex(agent.key.publicKey), undefined)
  agent.core.configure(configFor(broker), [brokerAt])
  return { world, broker, agent }
}

/** Streams move in real microtasks, packets in virtual time: turn and turn about, until `until` holds or `ms` have passed. */
export async function turns(world: World, ms: number, until: () => boolean, step = 20): Promise<boolean> {
  const end = world.now() + ms
  while (!until() && world.now() < end) {
    world.run(step)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return until()
}

export const nanoseconds = nanosecondsOf
