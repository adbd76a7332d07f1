/**
 * All WireGuard associations behind one static key: finds whose a datagram is, lets strangers knock (cheaply), and drives the timers.
 *
 *   initiation -> mac1 -> under load? cookie -> DH, whose key -> known or admitted? -> DH, timestamp -> fresh? -> response
 *   response, cookie reply, data -> by receiver index
 *
 * Unknown peers get silence. Nothing here throws on a stranger's bytes; every refusal is a counted DropReason.
 */
import { equalConstantTime } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import { AditError } from '#shared/errors.ts'
import type { Deadline } from '#shared/machine.ts'
import { uniform } from '#shared/time/backoff.ts'
import type { Duration, Instant } from '#shared/time/instant.ts'
import { classify } from '#shared/wire/demux.ts'
import { decodeCookieReply } from '#shared/wire/wireguard-cookie.ts'
import { isData, receiverOf } from '#shared/wire/wireguard-data.ts'
import { INITIATION_TYPE } from '#shared/wire/wireguard-initiation.ts'
import { decodeResponse, RESPONSE_TYPE } from '#shared/wire/wireguard-response.ts'
import type { Endpoint, EndpointPorts, PeerEndpoint } from './association.ts'
import { CookieJar } from './cookie.ts'
import type { DataLane, LaneHeard, LaneSent } from './data-lane.ts'
import type { EndpointCore } from './endpoint-core.ts'
import { LocalIdentity, type OpenedInitiation, readInitiation } from './handshake.ts'
import { LoadMeter, SourceLimiter } from './handshake-load.ts'
import { IndexTable } from './index-table.ts'
import { Attempt } from './initiator.ts'
import { innerLength } from './padding.ts'
import { PeerKeys } from './peer-keys.ts'
import { Session } from './session.ts'
import { WakeUps } from './wake-ups.ts'
import { WireguardAssociation } from './wireguard-association.ts'

/** What the owner of a responder knows about a key that asks in. */
export interface Admission {
  /** 32 bytes; none means 32 zeros (white paper §5.2). */
  readonly psk?: Uint8Array | undefined
  /** The greatest TAI64N (12 bytes) taken from this key before, from persistence. */
  readonly lastTimestamp?: Uint8Array | undefined
}

export interface PeerOptions extends Admission {
  /** X25519, 32 bytes. Our own key is refused. */
  readonly publicKey: Uint8Array
  readonly endpoint?: Endpoint | undefined
  /** Send an authenticated empty packet after this silence of ours, while a session lives. Off unless given. */
  readonly persistentKeepalive?: Duration | undefined
  /** Start the handshake at once, and once begun never stop asking: this end always wants the association. */
  readonly firstContact?: boolean | undefined
  /** Its packets do not move it: the owner alone says where it is (`setEndpoint`), having proofs of its own. */
  readonly steered?: boolean | undefined
}

export interface WireguardEndpointOptions {
  readonly suite: Suite
  readonly staticKey: KeyPair
  readonly ports: EndpointPorts
  /** 12-byte TAI64N, strictly growing over restarts too: `TimestampFloor.next`. */
  nextTimestamp(): Uint8Array
  /** Asked when an initiation names a key that has no association. A pure question: the claimant has proven nothing yet. */
  admit?(publicKey: Uint8Array): Admission | undefined
  /** Whether handshakes must first show a cookie. Default: more than 1,500 initiations in a second (`LoadMeter`). */
  underLoad?(now: Instant): boolean
  /** Inner packets are padded to 16 bytes but never beyond this; bytes. Default 1280. */
  readonly innerMtu?: number | undefined
  /** Takes over the data half of sessions. Default: everything is done here. */
  readonly lane?: DataLane | undefined
}

/** Who has an association already, or was admitted just now. */
type Claimant = WireguardAssociation | { readonly keys: PeerKeys; readonly lastTimestamp: Uint8Array | undefined }

export class WireguardEndpoint implements PeerEndpoint<WireguardAssociation> {
  readonly counters = new DropCounters()
  readonly #core: EndpointCore
  readonly #options: WireguardEndpointOptions
  readonly #cookies: CookieJar
  readonly #load = new LoadMeter()
  readonly #sources = new SourceLimiter()
  readonly #byKey = new Map<string, WireguardAssociation>()
  #opened: WireguardAssociation | undefined

  constructor(options: WireguardEndpointOptions) {
    const { suite, staticKey, ports, lane } = options
    const indexes = new IndexTable<Attempt | Session<WireguardAssociation>>(suite)
    this.#options = options
    this.#cookies = new CookieJar(suite, staticKey.publicKey)
    this.#core = {
      local: new LocalIdentity(suite, staticKey),
      ports,
      counters: this.counters,
      indexes,
      timers: new WakeUps(),
      dice: uniform((length) => suite.random(length)),
      innerMtu: options.innerMtu ?? 1280,
      lane,
      nextTimestamp: () => options.nextTimestamp(),
      pickIndex: (peerKey) => indexes.pick(lane && ((index) => lane.suits(index, peerKey))),
    }
  }

  get publicKey(): Uint8Array {
    return this.#core.local.staticKey.publicKey
  }

  /** The association of the last successful `open`. */
  get opened(): WireguardAssociation | undefined {
    return this.#opened
  }

  /** By the peer's static public key in lower-case hex. */
  association(publicKeyHex: string): WireguardAssociation | undefined {
    return this.#byKey.get(publicKeyHex)
  }

  associations(): Iterable<WireguardAssociation> {
    return this.#byKey.values()
  }

  /** A peer that is known already keeps its sessions and takes the PSK and the endpoint, where one is given. */
  addPeer(options: PeerOptions, now: Instant): WireguardAssociation {
    const keys = new PeerKeys(this.#core.local, options.publicKey, options.psk)
    if (equalConstantTime(options.publicKey, this.publicKey))
      throw new AditError('config-invalid', "the peer's tunnel key is our own", 'Give the tunnel key of the other end.')
    const known = this.#byKey.get(keys.hex)
    const association = known ?? this.#make(keys, options)
    if (known !== undefined) known.keys.psk = keys.psk
    if (known !== undefined && options.endpoint !== undefined) known.setEndpoint(options.endpoint, now)
    if (options.firstContact && association.state === 'idle') association.initiate(now)
    return association
  }

  /** Wipes its keys and forgets it; what still comes for it is a stranger's. */
  removePeer(association: WireguardAssociation): void {
    if (this.#byKey.get(association.peerKey) !== association) return
    this.#byKey.delete(association.peerKey)
    association.reset()
    association.keys.wipe()
    if (this.#opened === association) this.#opened = undefined
  }

  /** Sends an initiation now and begins the eager schedule anew. Without an endpoint it goes out once one is set and asked again. */
  initiate(association: WireguardAssociation, now: Instant): void {
    association.initiate(now)
  }

  /** Sends one initiation, which nothing repeats; for whoever has thousands to call and paces that himself. */
  call(association: WireguardAssociation, now: Instant): void {
    association.initiate(now, 'call')
  }

  /** Sends an authenticated empty packet; without a session it starts a handshake. */
  sendKeepalive(association: WireguardAssociation, now: Instant): void {
    association.sendKeepalive(now)
  }

  /** The owner says where the peer is (DNS, another endpoint of the list). Packets that wait are tried there. */
  setEndpoint(association: WireguardAssociation, endpoint: Endpoint, now: Instant): void {
    association.setEndpoint(endpoint, now)
  }

  handleControl(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    const verdict = this.#judge(datagram, from, now)
    if (verdict < 0) this.counters.count(verdict)
    return verdict
  }

  open(datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number {
    if (!isData(datagram)) return this.#refuse(DropReason.Malformed)
    const session = this.#session(receiverOf(datagram))
    if (session === undefined) return this.#refuse(DropReason.UnknownReceiver)
    if (session.isLaned) return this.#handOn(datagram, from)
    const length = session.owner.data.open(session, datagram, from, out, now)
    if (length < 0) return this.#refuse(length)
    this.#opened = session.owner
    return length
  }

  heard(news: LaneHeard, now: Instant): WireguardAssociation | undefined {
    const session = this.#session(news.local)
    session?.owner.data.heard(session, news, now)
    return session?.owner
  }

  sent(news: LaneSent, now: Instant): WireguardAssociation | undefined {
    const session = this.#session(news.local)
    session?.owner.data.sent(session, news, now)
    return session?.owner
  }

  judge(local: number, bytes: Uint8Array, length: number): number {
    const session = this.#session(local)
    const inner = session === undefined ? DropReason.UnknownReceiver : innerLength(bytes, length)
    if (inner < 0) return this.#refuse(inner)
    this.#opened = session?.owner
    return inner
  }

  expire(now: Instant): void {
    this.#core.timers.expire(now)
  }

  deadline(): Deadline | undefined {
    return this.#core.timers.deadline()
  }

  #session(local: number): Session<WireguardAssociation> | undefined {
    const holder = this.#core.indexes.get(local)
    return holder instanceof Session ? holder : undefined
  }

  #handOn(datagram: Uint8Array, from: Endpoint): number {
    this.#core.lane?.receive(datagram, from)
    return DropReason.HeldByLane
  }

  #refuse(reason: number): number {
    this.counters.count(reason)
    return reason
  }

  #make(keys: PeerKeys, options: Omit<PeerOptions, 'publicKey'>): WireguardAssociation {
    const association = new WireguardAssociation(this.#core, keys, {
      endpoint: options.endpoint,
      lastTimestamp: options.lastTimestamp,
      persistentKeepalive: options.persistentKeepalive,
      forever: options.firstContact ?? false,
      steered: options.steered ?? false,
    })
    this.#byKey.set(keys.hex, association)
    return association
  }

  #judge(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    if (classify(datagram) !== 'wireguard-handshake') return DropReason.Malformed
    const type = datagram[0]
    if (type !== INITIATION_TYPE && type !== RESPONSE_TYPE) return this.#cookieReply(datagram, now)
    if (!this.#cookies.verifyMac1(datagram)) return DropReason.BadMac1
    return type === INITIATION_TYPE ? this.#initiation(datagram, from, now) : this.#response(datagram, from, now)
  }

  #initiation(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    this.#load.note(now)
    const isLoaded = this.#options.underLoad?.(now) ?? this.#load.isLoaded(now)
    if (isLoaded) {
      const mac2 = this.#cookies.verifyMac2(datagram, from, now)
      if (mac2 !== 'valid') {
        this.#core.ports.transmit(this.#cookies.reply(datagram, receiverOf(datagram), from, now), from, undefined)
        return mac2 === 'absent' ? DropReason.UnderLoad : DropReason.BadCookie
      }
      if (!this.#sources.admits(from, now)) return DropReason.RateLimited
    }
    const opened = readInitiation(this.#core.local, datagram, (publicKey) => this.#introduce(publicKey, now))
    return typeof opened === 'number' ? opened : this.#take(opened, from, now)
  }

  /** Whose the claimed static key is: the claim is proven by the timestamp alone. */
  #introduce(publicKey: Uint8Array, now: Instant): Claimant | DropReason {
    if (equalConstantTime(publicKey, this.publicKey)) return DropReason.SelfConnection
    const association = this.#byKey.get(toHex(publicKey))
    if (association !== undefined) return association.isFlooding(now) ? DropReason.RateLimited : association
    const admission = this.#options.admit?.(publicKey)
    if (admission === undefined) return DropReason.UnknownPeer
    return { keys: new PeerKeys(this.#core.local, publicKey, admission.psk), lastTimestamp: admission.lastTimestamp }
  }

  #take(opened: OpenedInitiation<Claimant>, from: Endpoint, now: Instant): number {
    const { claimant, handshake, timestamp } = opened
    const isKnown = claimant instanceof WireguardAssociation
    const association = isKnown ? claimant : this.#make(claimant.keys, { lastTimestamp: claimant.lastTimestamp })
    const taken = association.takeTimestamp(timestamp, now)
    if (taken === 0) return association.respond(opened, from, now)
    handshake.wipe()
    if (!isKnown) this.removePeer(association)
    return taken
  }

  /** No cookie is asked for here: a response costs a DH only if it names an initiation of ours, which a stranger cannot guess. */
  #response(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    const response = decodeResponse(datagram)
    const attempt = this.#core.indexes.get(response.receiver)
    if (!(attempt instanceof Attempt)) return DropReason.UnknownReceiver
    return attempt.owner.finish(attempt, response, from, datagram.length, now)
  }

  #cookieReply(datagram: Uint8Array, now: Instant): number {
    const reply = decodeCookieReply(datagram)
    const known = this.#core.indexes.get(reply.receiver)
    if (known === undefined) return DropReason.UnknownReceiver
    return known.owner.takeCookie(known instanceof Attempt ? known : undefined, reply, now)
  }
}
