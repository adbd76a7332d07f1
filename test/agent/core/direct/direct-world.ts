import { AgentCore } from '#agent/core/agent-core.ts'
import type { DirectEvent, DirectOptions } from '#agent/core/direct/direct-host.ts'
import { type DirectTarget, directTarget } from '#agent/core/direct/direct-target.ts'
import { OVERLAY_PORT } from '#agent/core/direct/overlay-packet.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { DataPlane } from '#shared/dataplane/data-plane.ts'
import { FlowFilter, forever, refused } from '#shared/dataplane/flow-filter.ts'
import { PacketKind } from '#shared/dataplane/inner-packet.ts'
import { type GrantStatement, type PeerStatement, type Statement, signStatement } from '#shared/fleet/statement.ts'
import { StatementLedger } from '#shared/fleet/statement-ledger.ts'
import type { Candidate } from '#shared/nat/candidate.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { type Instant, wallTime } from '#shared/time/instant.ts'
import { TimestampFloor } from '#shared/tunnel/tai64n.ts'
import { classify } from '#shared/wire/demux.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'
import { NatBox, type NatKind, natKinds } from '#sim/nat-box.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import { brokerAt, configFor, VirtualBroker, World } from '#test/agent/core/virtual-world.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

export const fleetKey = nativeSuite.ed25519.pair(new Uint8Array(32).fill(7))
export const otherKey = nativeSuite.ed25519.pair(new Uint8Array(32).fill(8))
export const fleet = nativeSuite.hash('sha256', Buffer.from('root'))

/** A world with NATs in it: hosts of one site reach each other by their own addresses, all others by what their NAT makes of them. */
export class NattedWorld extends World {
  readonly #sites = new Map<string, { nat: NatBox; members: Set<string> }>()
  readonly #random = new SeededRandom(3)

  /** `address`: the host's own; hosts of the same `outside` are on one LAN. */
  behind(address: string, kind: NatKind, outside: string): void {
    for (const site of this.#sites.values()) {
      if (!site.nat.pool.includes(outside)) continue
      site.members.add(address)
      this.#sites.set(address, site)
      return
    }
    const nat = new NatBox(natKinds[kind], outside, (bound) => this.#random.below(bound))
    this.#sites.set(address, { nat, members: new Set([address]) })
  }

  override send(datagram: Uint8Array, from: Endpoint, to: Endpoint): void {
    const site = this.#sites.get(from.address)
    if (site?.members.has(to.address)) return void super.send(datagram, from, to)
    // Private addresses lead nowhere outside their site.
    if (/^(192\.168|10)\./.test(to.address)) return
    const outside = site ? site.nat.outbound(from, to, this.now()) : from
    if (outside === undefined) return
    if (site) this.#listen(site.nat, outside)
    super.send(datagram, outside, to)
  }

  #listen(nat: NatBox, outside: Endpoint): void {
    this.add(outside, {
      receive: (datagram, from) => {
        const inside = nat.inbound(outside, from, this.now())
        if (inside) this.deliver(inside, datagram, from)
      },
      expire: () => {},
      deadline: () => undefined,
    })
  }
}

/** A broker that relays inner packets between its agents, and sees what it relays. */
export class RelayBroker extends VirtualBroker {
  readonly owners = new Map<string, string>()
  isDead = false
  relayed = 0
  sees: (packet: Uint8Array) => boolean = () => true

  override receive(datagram: Uint8Array, from: Endpoint): void {
    if (this.isDead) return
    if (classify(datagram) !== 'wireguard-data') return void super.receive(datagram, from)
    const out = new Uint8Array(datagram.length)
    const length = this.endpoint.open(datagram, from, out, this.world.now())
    if (length <= 0) return
    const packet = out.subarray(0, length)
    const [at, width] = packet[0]! >> 4 === 4 ? [16, 4] : [24, 16]
    const owner = this.owners.get(formatAddress(packet, at, width))
    if (owner === undefined) this.netstack.input(packet)
    else this.forward(owner, packet)
  }

  forward(owner: string, packet: Uint8Array): void {
    if (this.isDead || !this.sees(packet)) return
    const association = this.endpoint.association(owner)
    if (association === undefined) return
    this.relayed++
    const out = new Uint8Array(packet.length + 64)
    const length = association.seal(packet, packet.length, out, this.world.now())
    if (length > 0 && association.endpoint) this.world.send(out.subarray(0, length), this.at, association.endpoint)
  }
}

/** A broker with the road and the filter of a real one: who did not begin a conversation through it has its packets reset. */
export class FilteringBroker extends RelayBroker {
  /** TCP packets that it saw between its agents, in the clear. */
  plain = 0
  /** Takes what devices say to their operators. */
  diverts: ((packet: Uint8Array) => void) | undefined
  readonly plane: DataPlane = new DataPlane({
    noise: this.endpoint,
    filter: new FlowFilter(
      {
        permit: (packet, from, to) => {
          const isToDevice = to !== undefined && to.peerKey === this.owners.get(deviceInner) && from !== undefined
          const meets = packet.kind === PacketKind.Udp && packet.destinationPort === OVERLAY_PORT
          const echo = packet.kind === PacketKind.EchoRequest
          const isOpen = meets || (packet.kind === PacketKind.Tcp && packet.destinationPort === 22)
          return echo || (isToDevice && isOpen) ? forever : refused
        },
        refused: (packet) => this.#count(packet.kind),
        opened: (flow) => this.#count(flow.protocol === 6 ? PacketKind.Tcp : PacketKind.Other),
      },
      7,
    ),
    ports: {
      transmit: (datagram, to) => {
        this.send(datagram, to)
        return true
      },
      deliver: (packet) => void this.netstack.input(packet),
    },
  })
  #isReady = false

  override receive(datagram: Uint8Array, from: Endpoint): void {
    if (this.isDead) return
    if (classify(datagram) !== 'wireguard-data') return void super.receive(datagram, from)
    this.#prepare()
    this.relayed++
    if (this.diverts && this.endpoint.association(this.owners.get(deviceInner)!)?.endpoint?.address === from.address) {
      const out = new Uint8Array(datagram.length)
      const length = this.endpoint.open(datagram, from, out, this.world.now())
      if (length > 0) this.diverts(out.subarray(0, length))
      return
    }
    this.plane.receive(datagram, from, this.world.now())
  }

  #prepare(): void {
    const associations = [...this.owners].map(([inner, key]) => [inner, this.endpoint.association(key)] as const)
    if (this.#isReady || associations.some(([, association]) => association === undefined)) return
    this.#isReady = true
    this.plane.setLocal(this.netstack.addresses)
    for (const [inner, association] of associations) this.plane.routes.insert(inner, association!)
  }

  #count(kind: number): void {
    if (kind === PacketKind.Tcp) this.plain++
  }
}

/** One end: an AgentCore that may meet others. */
export class DirectEnd {
  readonly world: NattedWorld
  readonly name: string
  at: Endpoint
  readonly key: KeyPair
  readonly core: AgentCore
  readonly ledger: StatementLedger
  readonly events: (DirectEvent & { at: number })[] = []
  readonly sent: { bytes: Uint8Array; to: Endpoint }[] = []
  readonly inner: string
  strict = false
  relayOnly = false

  constructor(world: NattedWorld, role: 'device' | 'operator', at: Endpoint, inner: string, seed: number, key?: KeyPair) {
    this.world = world
    this.name = role === 'device' ? 'pi' : 'ann'
    this.at = at
    this.inner = inner
    const suite = seededSuite(seed)
    this.key = key ?? suite.x25519.generate()
    this.ledger = new StatementLedger({ suite, fleet, time: () => world.wall() }, [fleetKey.publicKey])
    const timestamps = new TimestampFloor({ wall: () => world.wall(), reserve: () => {} })
    const isRelayOnly = (): boolean => this.relayOnly
    const direct: DirectOptions = {
      role,
      judge: (bytes, beside) => this.ledger.judge(bytes, beside),
      time: () => world.wall(),
      places: (): Candidate[] => [{ kind: 'host', endpoint: this.at }],
      strict: () => this.strict,
      get relayOnly() {
        return isRelayOnly()
      },
      event: (event) => this.events.push({ ...event, at: world.now() }),
    }
    this.core = new AgentCore({
      suite,
      clock: world,
      tunnelKey: this.key,
      direct,
      ports: {
        send: (datagram, to) => {
          this.sent.push({ bytes: datagram.slice(), to })
          world.send(datagram, this.at, to)
        },
        nextTimestamp: () => timestamps.next(),
        wake: () => {},
        event: () => {},
      },
    })
    world.add(at, this)
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

  /** The kind of way in use with the other end; undefined: none of its own. */
  path(name: string) {
    const status = this.core.direct?.status(name)
    return status?.state === 'established' ? status.path.kind : undefined
  }
}

export interface Scene {
  world: NattedWorld
  broker: RelayBroker
  device: DirectEnd
  operator: DirectEnd
  /** What an honest broker hands to the operator. */
  statements: Uint8Array[]
  target(statements?: readonly Uint8Array[]): DirectTarget
}

const deviceInner = 'fd00:adad::99'
const operatorInner = 'fd00:adad::77'

/** Device and operator, each behind a NAT of that kind, or both on one LAN; up with their broker. */
export function scene({
  device: deviceNat,
  operator: operatorNat,
  oneLan = false,
  filtering = false,
  seed = 1,
}: {
  device: NatKind
  operator: NatKind
  oneLan?: boolean
  /** The broker judges flows as a real one does. */
  filtering?: boolean
  seed?: number
}): Scene {
  const world = new NattedWorld(seed)
  const broker = new (filtering ? FilteringBroker : RelayBroker)(world, brokerAt)
  const device = new DirectEnd(world, 'device', { address: '192.168.7.2', port: 40_001 }, deviceInner, seed + 5)
  const operator = new DirectEnd(
    world,
    'operator',
    { address: oneLan ? '192.168.7.3' : '10.0.0.3', port: 40_002 },
    operatorInner,
    seed + 9,
  )
  world.behind(device.at.address, deviceNat, '203.0.113.1')
  world.behind(operator.at.address, operatorNat, oneLan ? '203.0.113.1' : '203.0.113.2')
  for (const end of [device, operator]) {
    broker.known.set(toHex(end.key.publicKey), undefined)
    broker.owners.set(end.inner, toHex(end.key.publicKey))
    const config = configFor(broker, { name: end.name, inner: { addresses: [end.inner], mtu: 1420 } })
    end.core.configure({ ...config, role: end.name === 'pi' ? 'device' : 'operator' }, [brokerAt])
  }
  const statements = statementsFor(world, device, operator)
  const target = (shown: readonly Uint8Array[] = statements): DirectTarget =>
    directTarget('pi', shown, { own: operator.key.publicKey, judge: (bytes, beside) => operator.ledger.judge(bytes, beside) })
  return { world, broker, device, operator, statements, target }
}

/** Who a statement speaks of. */
type Party = Pick<DirectEnd, 'key' | 'inner'>

export function statementsFor(
  world: Pick<World, 'wall'>,
  device: Party,
  operator: Party,
  change: Partial<GrantStatement> = {},
  by = fleetKey,
) {
  return peersAndGrant(world, device, operator, change).map((statement) =>
    signStatement(statement, { suite: nativeSuite, pair: by }),
  )
}

export function peersAndGrant(
  world: Pick<World, 'wall'>,
  device: Party,
  operator: Party,
  change: Partial<GrantStatement> = {},
): Statement[] {
  const wall = world.wall()
  const scope = { fleet, version: 5, notBefore: wallTime(wall - 1000), notAfter: wallTime(wall + 86_400_000) }
  const pi: PeerStatement = {
    ...scope,
    kind: 'peer',
    id: 'dd',
    name: 'pi',
    role: 'device',
    tunnelKey: device.key.publicKey,
    addresses: [device.inner],
    tags: ['pumps'],
    groups: [],
  }
  const ann: PeerStatement = {
    ...pi,
    id: 'aa',
    name: 'ann',
    role: 'operator',
    tunnelKey: operator.key.publicKey,
    addresses: [operator.inner],
    tags: [],
    groups: ['staff'],
  }
  const grant: GrantStatement = {
    ...scope,
    kind: 'grant',
    id: '1',
    operators: [],
    groups: ['staff'],
    devices: [],
    tags: ['pumps'],
    ports: [{ from: 22, to: 22 }],
    ...change,
  }
  return [ann, pi, grant]
}

/** A stream of numbered bytes from the device's port 22 to the operator: what comes must be what was sent, in order, whatever happens. */
export class RunningStream {
  received = 0
  wrong = 0
  closed = false
  readonly #world: World
  readonly #socket: TcpSocket

  constructor({ world, device, operator }: Scene, bytesPerTick = 4_000) {
    this.#world = world
    device.core.netstack.listen({ port: 22, allowHalfOpen: true }, (socket) => {
      let at = 0
      const pump = (): void => {
        if (socket.destroyed || socket.writableLength > 64_000) return
        const chunk = Uint8Array.from({ length: bytesPerTick }, (_, i) => (at + i) % 251)
        at += chunk.length
        socket.write(chunk)
      }
      socket.on('data', pump)
      socket.on('error', () => {})
      pump()
    })
    this.#socket = operator.core.netstack.connect({ address: device.inner, port: 22, allowHalfOpen: true })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.closed = true
    })
    this.#socket.on('data', (chunk: Uint8Array) => {
      for (const byte of chunk) if (byte !== this.received++ % 251) this.wrong++
    })
    // Each tick of the world lets the device go on: acknowledgements arrive as words.
    this.#socket.on('connect', () => this.#socket.write('go'))
  }

  /** A word to the device, which answers it with more. */
  nudge(): void {
    if (!this.#socket.destroyed) this.#socket.write('.')
  }

  /** Runs the world for `ms`, with a word each 50 ms; returns the bytes that came. */
  async flow(ms: number): Promise<number> {
    const before = this.received
    for (let done = 0; done < ms; done += 50) {
      this.nudge()
      await new Promise((resolve) => setImmediate(resolve))
      this.#world.run(50)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return this.received - before
  }
}
