import { toHex } from '#shared/bytes/hex.ts'
import { RouteTable } from '#shared/dataplane/route-table.ts'
import type { PeerStatement } from '#shared/fleet/statement.ts'
import type { Deadline } from '#shared/machine.ts'
import { elapsed, type Instant, instant, minutes, seconds, type WallTime } from '#shared/time/instant.ts'
import type { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { carriedBy, type Endpoint } from '#shared/wire/endpoint.ts'
import type { OpenPorts } from './direct-access.ts'
import { DirectFilter } from './direct-filter.ts'
import type { DirectHost, DirectOptions, PartingReason } from './direct-host.ts'
import { DirectPeer, type DirectPeerPorts } from './direct-peer.ts'
import { Introducer } from './introducer.ts'
import { innerPair } from './overlay-packet.ts'
import { randomStart } from './overlay-road.ts'

/** One other end, and what it was taken in by. */
export interface PeerRecord {
  readonly peer: DirectPeer
  /** What was shown, to be judged again when the ledger has changed. */
  readonly statements: readonly Uint8Array[]
  /** When the last of an operator's grants for it ends. */
  readonly until?: WallTime
  /** Of an operator's peer. */
  readonly introducer?: Introducer
  /** The last answer came from there, where not through the hub. */
  answeredFrom?: Endpoint
}

/** Who is taken in. */
interface Newcomer {
  readonly statement: PeerStatement & { readonly tunnelKey: Uint8Array }
  readonly statements: readonly Uint8Array[]
  /** What an operator may open here; undefined: it is a device. */
  readonly ports: readonly OpenPorts[] | undefined
  /** When the last of our grants for a device ends. */
  readonly until?: WallTime
}

/** Operators that a device holds; the one that was silent for longest gives way. */
const PEER_LIMIT = 64
/** A device forgets an operator without a session that has been silent for so long. */
const FORGET_AFTER = minutes(10)
const SWEEP_EVERY = seconds(30)

/** The other ends that this one knows, by tunnel key and by inner address. With the last trace of one its TCP is cut here. */
export class PeerRegister {
  readonly #options: DirectOptions
  readonly #host: DirectHost
  readonly #endpoint: WireguardEndpoint
  readonly #ports: DirectPeerPorts
  /** By tunnel key, in hex. */
  readonly #records = new Map<string, PeerRecord>()
  #byAddress = new RouteTable<DirectPeer>()
  #overlays = 0
  #sweepAt: Instant | undefined

  /** `endpoint` holds the associations. */
  constructor(options: DirectOptions, host: DirectHost, endpoint: WireguardEndpoint, ports: DirectPeerPorts) {
    this.#options = options
    this.#host = host
    this.#endpoint = endpoint
    this.#ports = ports
  }

  get size(): number {
    return this.#records.size
  }

  all(): Iterable<PeerRecord> {
    return this.#records.values()
  }

  /** `key`: the tunnel key, 32 bytes, or the same in hex as associations name it. */
  get(key: Uint8Array | string): PeerRecord | undefined {
    return this.#records.get(typeof key === 'string' ? key : toHex(key))
  }

  named(name: string): PeerRecord | undefined {
    for (const record of this.#records.values()) if (record.peer.name === name) return record
    return undefined
  }

  /** Whose association it is; undefined where it is none of ours. */
  withAssociation(association: unknown): PeerRecord | undefined {
    for (const record of this.#records.values()) if (record.peer.association === association) return record
    return undefined
  }

  /** The source lies at byte 12 of an IPv4 header and at byte 8 of an IPv6 header, the destination behind it. */
  at(packet: Uint8Array, which: 'source' | 'destination'): DirectPeer | undefined {
    if (this.#records.size === 0 || packet.length < 20) return undefined
    const four = packet[0]! >> 4 === 4
    if (!four && packet.length < 40) return undefined
    const at = which === 'source' ? (four ? 12 : 8) : four ? 16 : 24
    return this.#byAddress.lookup(packet, at, four ? 4 : 16)
  }

  /** Whose inner address it is. */
  withAddress(address: string): DirectPeer | undefined {
    for (const { peer } of this.#records.values()) if (peer.statement.addresses.includes(address)) return peer
    return undefined
  }

  /** Takes it in, or renews what is known of it; undefined where the two have no inner addresses of one family. */
  add({ statement, statements, ports, until }: Newcomer, now: Instant): PeerRecord | undefined {
    const inner = innerPair(this.#host.netstack.addresses, statement.addresses)
    if (inner === undefined) return undefined
    const key = toHex(statement.tunnelKey)
    const before = this.#records.get(key)
    const known = before?.peer
    if (known === undefined && this.#records.size >= PEER_LIMIT) this.#makeRoom()
    const overlay = known?.overlay ?? carriedBy('overlay', ++this.#overlays)
    const association =
      known?.association ?? this.#endpoint.addPeer({ publicKey: statement.tunnelKey, endpoint: overlay, steered: true }, now)
    const filter = new DirectFilter(statement.addresses, ports)
    const leads = this.#options.role === 'operator'
    const { suite } = this.#host
    const peer =
      known !== undefined && sameAddresses(known.statement, statement)
        ? known.renewed(statement, filter)
        : new DirectPeer({
            ...{ statement, association, overlay, inner, filter, leads },
            firstProbe: randomStart(suite),
            ports: this.#ports,
          })
    if (this.#options.relayOnly) peer.wish = 'relay'
    const introducer = leads ? (before?.introducer ?? new Introducer((length) => suite.random(length))) : undefined
    const record: PeerRecord = { peer, statements, ...(until !== undefined && { until }), ...(introducer && { introducer }) }
    this.#records.set(key, record)
    this.#route()
    this.#sweepAt ??= instant(now + SWEEP_EVERY)
    return record
  }

  /** `key`: the tunnel key in hex. */
  remove(key: string, why: PartingReason): void {
    const record = this.#records.get(key)
    if (record === undefined) return
    const { peer } = record
    if (why !== 'left') this.cut(peer, [])
    this.#records.delete(key)
    this.#endpoint.removePeer(peer.association)
    this.#route()
    this.#options.event?.({ kind: 'closed', name: peer.name, why })
  }

  /** Ends the peer's TCP but to the ports that are `open`. It is told by resets, as long as there is an association to send them by. */
  cut({ statement }: DirectPeer, open: readonly OpenPorts[]): void {
    const isOpen = (port: number): boolean => open.some(({ from, to }) => from <= port && port <= to)
    for (const address of statement.addresses) this.#host.netstack.abortFrom(address, isOpen)
  }

  /** A device forgets silent operators. */
  expire(now: Instant): void {
    if (this.#sweepAt === undefined || now < this.#sweepAt) return
    if (this.#options.role === 'device')
      for (const [key, { peer }] of [...this.#records]) {
        const heard = peer.association.lastAuthentic
        if (!peer.isEstablished && heard !== undefined && elapsed(heard, now) > FORGET_AFTER) this.remove(key, 'left')
      }
    this.#sweepAt = this.#records.size === 0 ? undefined : instant(now + SWEEP_EVERY)
  }

  deadline(): Deadline | undefined {
    return this.#sweepAt === undefined ? undefined : { at: this.#sweepAt, why: 'forget silent operators' }
  }

  /** Who has been silent for longest leaves; one with a session only where all have one. */
  #makeRoom(): void {
    const order = [...this.#records].sort(([, a], [, b]) => silence(a.peer) - silence(b.peer))
    const victim = order.find(([, { peer }]) => !peer.isEstablished) ?? order[0]
    if (victim) this.remove(victim[0], 'left')
  }

  #route(): void {
    this.#byAddress = new RouteTable()
    for (const { peer } of this.#records.values())
      for (const address of peer.statement.addresses) this.#byAddress.insert(address, peer)
  }
}

const silence = (peer: DirectPeer): number => peer.association.lastAuthentic ?? Number.NEGATIVE_INFINITY

const sameAddresses = (a: PeerStatement, b: PeerStatement): boolean => a.addresses.join() === b.addresses.join()
