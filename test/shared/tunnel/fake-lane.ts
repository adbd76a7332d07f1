import { nativeSuite } from '#shared/crypto/native.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import { type Association, type Endpoint, type PeerEndpoint, sameEndpoint } from '#shared/tunnel/association.ts'
import type { DataLane, LaneAlgorithm, LaneSession } from '#shared/tunnel/data-lane.ts'
import { EspSession } from '#shared/tunnel/esp-session.ts'
import { innerLength, paddedLength } from '#shared/tunnel/padding.ts'
import { Session } from '#shared/tunnel/session.ts'
import { SharedNumber } from '#shared/tunnel/shared-number.ts'
import { classify } from '#shared/wire/demux.ts'
import { checkTrailer, espSpiOf } from '#shared/wire/esp.ts'
import { Encryption } from '#shared/wire/ike-numbers.ts'
import { receiverOf } from '#shared/wire/wireguard-data.ts'
import type { Host, VirtualNetwork } from './virtual-link.ts'

/** Sealing and opening of one installed session. */
interface Cipher {
  /** Returns the datagram, or a negative DropReason. */
  seal(inner: Uint8Array): Uint8Array | number
  /** Returns the payload as it was padded, or a negative DropReason. */
  open(datagram: Uint8Array, now: Instant): Uint8Array | number
  readonly newest: boolean
}

/** What is to be told of a session. */
interface Moved {
  datagrams: number
  outerBytes: number
  innerPackets: number
  innerBytes: number
  largest: number
}

class Held {
  readonly session: LaneSession
  readonly cipher: Cipher
  readonly numbers: SharedNumber
  readonly words: Int32Array
  heard: (Moved & { from: Endpoint; newest: number; last: number }) | undefined
  sent: (Moved & { last: number }) | undefined
  from: Endpoint | undefined
  heardAt = Number.NEGATIVE_INFINITY

  constructor(session: LaneSession) {
    this.session = session
    this.words = new Int32Array(new SharedArrayBuffer(4))
    this.words[0] = session.firstNumber
    this.numbers = new SharedNumber(this.words, 0)
    this.cipher = session.suite === 'noise' ? noiseCipher(session, this.numbers) : espCipher(session, this.numbers)
  }
}

/** A data lane in the same thread: a plain twin of one, which tells its endpoint late, as a real one does. */
export class FakeLane implements DataLane {
  endpoint: PeerEndpoint | undefined
  /** Whether it takes the next session. */
  takes = true
  /** How late it tells, ms. */
  lateness = 20
  readonly held = new Map<number, Held>()
  readonly routes = new Map<Association, { local: number; to: Endpoint }>()
  /** Every call, in order. */
  readonly calls: string[] = []
  readonly installed: LaneSession[] = []
  /** Verdicts on what was opened here. */
  readonly verdicts: number[] = []
  #dueAt: number | undefined
  #order = 0
  #now: Instant = instant(0)

  get dueAt(): number | undefined {
    return this.#dueAt
  }

  /** Which numbers it likes. */
  suits: (local: number, peerKey: string) => boolean = () => true

  install(session: LaneSession): SharedNumber | undefined {
    this.calls.push('install')
    this.installed.push(session)
    if (!this.takes) return undefined
    const held = new Held(session)
    this.held.set(session.local, held)
    return held.numbers
  }

  release(local: number): void {
    this.calls.push('release')
    this.held.delete(local)
  }

  route(association: Association, local: number | undefined, to: Endpoint | undefined): void {
    this.calls.push(to === undefined ? 'stop' : 'route')
    if (local === undefined || to === undefined) this.routes.delete(association)
    else this.routes.set(association, { local, to })
  }

  receive(datagram: Uint8Array, from: Endpoint): void {
    this.calls.push('receive')
    if (this.holds(datagram)) this.arrive(datagram, from, this.#now)
  }

  holds(datagram: Uint8Array): boolean {
    return this.#find(datagram) !== undefined
  }

  /** A datagram of a session that it holds. Returns the inner packet; empty where there is none. */
  arrive(datagram: Uint8Array, from: Endpoint, now: Instant): Uint8Array {
    this.#now = now
    const held = this.#find(datagram)!
    const payload = held.cipher.open(datagram, now)
    this.verdicts.push(typeof payload === 'number' ? payload : payload.length)
    if (typeof payload === 'number') return new Uint8Array(0)
    const hasMoved = !sameEndpoint(held.from, from)
    if (hasMoved) this.tell(now)
    const inner = payload.length === 0 ? 0 : innerLength(payload, payload.length)
    held.heard ??= { ...nothing, from, newest: 0, last: 0 }
    const { heard } = held
    heard.last = ++this.#order
    heard.newest += held.cipher.newest ? 1 : 0
    add(heard, datagram.length, payload.length > 0, Math.max(0, inner))
    const isUrgent = hasMoved || now - held.heardAt >= 1_000 || !this.routes.has(held.session.association)
    held.from = from
    held.heardAt = now
    if (isUrgent) this.tell(now)
    else this.#later(now)
    // Every packet is one that it does not know where to send.
    const length = payload.length === 0 ? 0 : this.endpoint!.judge(held.session.local, payload, payload.length)
    return payload.subarray(0, Math.max(0, length))
  }

  /** Seals and sends where it may; undefined: it may not. */
  send(association: Association, inner: Uint8Array, now: Instant): { datagram: Uint8Array; to: Endpoint } | undefined {
    const route = this.routes.get(association)
    const held = route && this.held.get(route.local)
    if (route === undefined || held === undefined || now >= (held.session.expiresAt ?? Number.POSITIVE_INFINITY)) return undefined
    const datagram = held.cipher.seal(inner)
    if (typeof datagram === 'number') return undefined
    held.sent ??= { ...nothing, last: 0 }
    const { sent } = held
    sent.last = ++this.#order
    add(sent, datagram.length, true, inner.length)
    this.#later(now)
    return { datagram, to: route.to }
  }

  /** Tells the endpoint what has been moved, in the order in which the last of each came or went. */
  tell(now: Instant): void {
    this.#now = now
    this.#dueAt = undefined
    const news: { last: number; say: () => void }[] = []
    for (const { session, heard, sent } of this.held.values()) {
      const { local, suite } = session
      if (heard) news.push({ last: heard.last, say: () => void this.endpoint!.heard({ local, suite, ...heard }, now) })
      if (sent) news.push({ last: sent.last, say: () => this.endpoint!.sent({ local, suite, ...sent }, now) })
    }
    for (const held of this.held.values()) held.heard = held.sent = undefined
    for (const { say } of news.sort((a, b) => a.last - b.last)) say()
  }

  #find(datagram: Uint8Array): Held | undefined {
    const kind = classify(datagram)
    if (kind === 'wireguard-data') return this.held.get(receiverOf(datagram))
    return kind === 'esp' ? this.held.get(espSpiOf(datagram)) : undefined
  }

  #later(now: Instant): void {
    this.#dueAt ??= now + this.lateness
  }
}

interface LanedNode<Other> {
  address: Endpoint
  readonly network: VirtualNetwork
  readonly endpoint: PeerEndpoint
  readonly received: { packet: Uint8Array; at: Instant; association: Association }[]
  to(other: Other): Association
  send(other: Other, ...rest: never[]): number
  receive(datagram: Uint8Array, from: Endpoint): number
}

/** A node of a virtual network whose data half goes by a lane wherever that may. */
export class LanedHost<Other, N extends LanedNode<Other>> implements Host {
  readonly node: N
  readonly lane: FakeLane
  /** Packets that went by the endpoint, since the lane might not send them. */
  besides = 0
  /** As the network drives it: the lane's news come in between. */
  readonly endpoint: Host['endpoint']

  constructor(node: N, lane: FakeLane) {
    this.node = node
    this.lane = lane
    lane.endpoint = node.endpoint
    const { endpoint } = node
    this.endpoint = Object.assign(Object.create(endpoint), {
      expire: (now: Instant) => {
        if (lane.dueAt !== undefined && lane.dueAt <= now) lane.tell(now)
        endpoint.expire(now)
      },
      deadline: () => {
        const own = endpoint.deadline()
        if (lane.dueAt === undefined || (own !== undefined && own.at <= lane.dueAt)) return own
        return { at: instant(lane.dueAt), why: 'news of the lane' }
      },
    })
    node.network.remove(node)
    node.network.add(this)
  }

  get address(): Endpoint {
    return this.node.address
  }

  set address(address: Endpoint) {
    this.node.address = address
  }

  /** By the lane where that may send, else by the endpoint. */
  send(other: Other, packet: Uint8Array): number {
    const { network } = this.node
    const association = this.node.to(other)
    const sealed = this.lane.send(association, packet, network.now)
    if (sealed !== undefined) {
      network.send(sealed.datagram, this.address, sealed.to)
      return sealed.datagram.length
    }
    this.besides++
    const out = new Uint8Array(2_048)
    const size = association.seal(packet, packet.length, out, network.now)
    if (size > 0) network.send(out.subarray(0, size), this.address, association.endpoint!)
    return size
  }

  receive(datagram: Uint8Array, from: Endpoint): unknown {
    if (!this.lane.holds(datagram)) return this.node.receive(datagram, from)
    const { now } = this.node.network
    const packet = this.lane.arrive(datagram, from, now)
    if (packet.length > 0) this.node.received.push({ packet: packet.slice(), at: now, association: this.node.endpoint.opened! })
    return packet.length
  }
}

const nothing = { datagrams: 0, outerBytes: 0, innerPackets: 0, innerBytes: 0, largest: 0 } as const

function add(moved: Moved, outerBytes: number, hasContent: boolean, innerBytes: number): void {
  moved.datagrams++
  moved.outerBytes += outerBytes
  moved.innerPackets += hasContent ? 1 : 0
  moved.innerBytes += innerBytes
  moved.largest = Math.max(moved.largest, innerBytes)
}

/** One that seals, by shared numbers, and one that opens: what is lent opens nothing. */
function noiseCipher({ local, remote, sendKey, receiveKey, innerMtu, expiresAt }: LaneSession, numbers: SharedNumber): Cipher {
  const now = instant(expiresAt! - 180_000)
  const start = { local, remote, initiator: true, sendKey, receiveKey, now, begunAt: now, rekeyAt: expiresAt! }
  const [sealing, opening] = [0, 1].map(() => new Session(nativeSuite, undefined, start)) as [Session, Session]
  sealing.lend(numbers)
  return {
    seal(inner) {
      const out = new Uint8Array(inner.length + 64)
      const size = sealing.seal(inner, inner.length, paddedLength(inner.length, innerMtu), out)
      return size < 0 ? size : out.subarray(0, size)
    },
    open(datagram, at) {
      const out = new Uint8Array(datagram.length)
      const length = opening.open(datagram, out, at)
      return length < 0 ? length : out.subarray(0, length)
    },
    get newest() {
      return opening.newest
    },
  }
}

const keyLengths: Readonly<Record<LaneAlgorithm, number | undefined>> = {
  'chacha20-poly1305': undefined,
  'aes-128-gcm': 128,
  'aes-192-gcm': 192,
  'aes-256-gcm': 256,
}

function espCipher(session: LaneSession, numbers: SharedNumber): Cipher {
  const keyLength = keyLengths[session.algorithm]
  const integrity = new Uint8Array(0)
  const keys = {
    inbound: { spi: session.local, encryption: Buffer.concat([session.receiveKey, session.receiveSalt]), integrity },
    outbound: { spi: session.remote, encryption: Buffer.concat([session.sendKey, session.sendSalt]), integrity },
    algorithms: {
      encryption: keyLength === undefined ? Encryption.ChaCha20Poly1305 : Encryption.AesGcm16,
      keyLength,
      integrity: 0,
    },
    esn: session.esn,
    localSelectors: [],
    remoteSelectors: [],
    tfcRefused: false,
  }
  const make = (): EspSession => new EspSession(nativeSuite, undefined, keys, defaultChildLifetime, () => 0, instant(0))
  const [sealing, opening] = [make(), make()]
  sealing.lend(numbers)
  return {
    seal(inner) {
      const out = new Uint8Array(inner.length + 128)
      const size = sealing.seal(inner, inner.length, inner.length, inner[0]! >> 4 === 4 ? 4 : 41, out)
      return size < 0 ? size : out.subarray(0, size)
    },
    open(datagram) {
      const out = new Uint8Array(datagram.length)
      const length = opening.open(datagram, out)
      if (length < 0) return length
      const payload = checkTrailer(out, length)
      return payload < 0 ? DropReason.InnerMalformed : out.subarray(0, payload)
    },
    get newest() {
      return opening.newest
    },
  }
}
