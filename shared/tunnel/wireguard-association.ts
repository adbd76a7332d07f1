import { compareBytes } from '#shared/bytes/compare.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Deadline } from '#shared/machine.ts'
import { after, type Duration, elapsed, type Instant, milliseconds } from '#shared/time/instant.ts'
import { copyEndpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { CookieReply } from '#shared/wire/wireguard-cookie.ts'
import type { Response } from '#shared/wire/wireguard-response.ts'
import type { Association, AssociationState, Endpoint, TrafficCounters } from './association.ts'
import { nextAssociationId } from './association-id.ts'
import type { AssociationOptions, EndpointCore } from './endpoint-core.ts'
import type { OpenedInitiation } from './handshake.ts'
import { type Attempt, Initiator } from './initiator.ts'
import { Liveness } from './liveness.ts'
import { PacketQueue } from './packet-queue.ts'
import { innerLength, paddedLength } from './padding.ts'
import { PathGuard } from './path-guard.ts'
import type { PeerKeys } from './peer-keys.ts'
import { answer } from './responder.ts'
import { borrowScratch, returnScratch } from './scratch.ts'
import { Session } from './session.ts'
import { SessionSlots } from './session-slots.ts'
import { firstOf, laterThan, type Sleeper } from './wake-ups.ts'
import {
  EAGER_RETRY,
  INITIATION_SPACING,
  PADDING,
  REKEY_AFTER_TIME,
  REKEY_ON_RECEIPT_TIME,
  REKEY_SPREAD,
  SEAL_OVERHEAD,
} from './wireguard-constants.ts'

const EMPTY = new Uint8Array(0)

/**
 * One peer of a WireguardEndpoint, which makes it (`addPeer`) and calls everything below the contract of `Association`.
 *
 *   idle --seal, initiate--> handshaking --response, or the peer's first data--> established --REJECT-AFTER-TIME--> idle
 */
export class WireguardAssociation implements Association, Sleeper {
  readonly id = nextAssociationId()
  readonly suite = 'noise'
  readonly counters: TrafficCounters = {
    outerSent: 0,
    outerReceived: 0,
    innerSent: 0,
    innerReceived: 0,
    handshakes: 0,
  }
  /** For `Deadlines`. */
  due = 0 as Instant
  slot = -1

  readonly #core: EndpointCore
  readonly #keys: PeerKeys
  readonly #initiator: Initiator
  readonly #slots: SessionSlots<Session<WireguardAssociation>>
  readonly #path: PathGuard
  readonly #liveness: Liveness
  #queue: PacketQueue | undefined
  #lastTimestamp: Uint8Array | undefined
  #lastAuthentic: Instant | undefined
  /** When the last session became the current one: what was offered before belongs to the same handshake. */
  #settledAt: Instant | undefined
  #lastInitiation: Instant | undefined
  /** Index and mac1 of our last response, which a cookie reply may answer, and where it went. */
  #lastResponse: { local: number; mac1: Uint8Array; to: Endpoint } | undefined

  constructor(core: EndpointCore, keys: PeerKeys, options: AssociationOptions) {
    this.#core = core
    this.#keys = keys
    this.#initiator = new Initiator(core, this, keys, options.forever)
    this.#slots = new SessionSlots(compareBytes(core.local.staticKey.publicKey, keys.publicKey) > 0, (session) => {
      core.indexes.release(session.local)
      session.wipe()
    })
    this.#lastTimestamp = options.lastTimestamp?.slice()
    this.#liveness = new Liveness(options.persistentKeepalive)
    this.#path = new PathGuard(options.steered)
    this.#path.set(options.endpoint)
  }

  get peerKey(): string {
    return this.#keys.hex
  }

  get publicKey(): Uint8Array {
    return this.#keys.publicKey
  }

  get keys(): PeerKeys {
    return this.#keys
  }

  get state(): AssociationState {
    if (this.#slots.current !== undefined) return 'established'
    return this.#initiator.isAsking || this.#slots.unconfirmed !== undefined ? 'handshaking' : 'idle'
  }

  get endpoint(): Endpoint | undefined {
    return this.#path.endpoint
  }

  get lastAuthentic(): Instant | undefined {
    return this.#lastAuthentic
  }

  get establishedAt(): Instant | undefined {
    return this.#slots.current?.createdAt
  }

  /** The greatest TAI64N taken from the peer, 12 bytes: to be persisted (`timestamp` events say when it grew). */
  get lastTimestamp(): Uint8Array | undefined {
    return this.#lastTimestamp
  }

  /** Round trip of the last handshake that we began. */
  get roundTrip(): Duration | undefined {
    return this.#initiator.roundTrip
  }

  /** Unconfirmed and replaced ones included. */
  get sessionCount(): number {
    return this.#slots.count
  }

  /** The session that we send with: its age and counters, for tests and diagnostics. */
  get session(): Session<WireguardAssociation> | undefined {
    return this.#slots.current
  }

  seal(inner: Uint8Array, length: number, out: Uint8Array, now: Instant): number {
    const session = this.#slots.current
    if (session === undefined || !session.canSend(now)) return this.#wait(inner, length, now)
    if (this.#path.endpoint === undefined) return DropReason.NoSession
    const padded = paddedLength(length, this.#core.innerMtu)
    if (!this.#path.spend(padded + SEAL_OVERHEAD)) return DropReason.AmplificationLimit
    const size = session.seal(inner, length, padded, out)
    if (size < 0) return size
    this.counters.outerSent += size
    this.counters.innerSent += length
    this.#arm(this.#liveness.sent(length > 0, now, this.#core.dice))
    if (session.isDueForRekey(now)) this.#rekey(now)
    return size
  }

  reset(): void {
    this.#initiator.stop()
    const had = this.#slots.current !== undefined
    this.#slots.clear()
    this.#queue?.clear()
    this.#queue = undefined
    this.#lastResponse = undefined
    this.#liveness.clear()
    this.#core.timers.cancel(this)
    if (had) this.#core.ports.event({ kind: 'lapsed', association: this })
  }

  /* ── Below: called by the endpoint and the initiator. ── */

  /** Data lane: a datagram that names one of our sessions. Returns the inner packet's length, or a DropReason. */
  open(session: Session<WireguardAssociation>, datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number {
    const padded = session.open(datagram, out, now)
    if (padded < 0) return padded
    this.counters.outerReceived += datagram.length
    this.#authenticated(now)
    const rekey = this.#slots.current !== undefined
    const promoted = this.#slots.heard(session)
    // Only the newest packet says where the peer is, and only in the newest session that he has spoken in.
    this.#follow(from, datagram.length, session.newest && this.#isCurrentEnough(session))
    // He has had our response there, or he could not speak in its session: that is as good as a second packet.
    if (promoted && this.#lastResponse?.local === session.local && sameEndpoint(this.#lastResponse.to, from))
      this.#path.reached(from)
    if (promoted) this.#promoted(session, rekey, now)
    if (padded === 0) return 0
    this.#arm(this.#liveness.owe(now))
    if (session.initiator && elapsed(session.createdAt, now) >= REKEY_ON_RECEIPT_TIME) this.#rekey(now)
    const length = innerLength(out, padded)
    if (length > 0) this.counters.innerReceived += length
    return length
  }

  /** Whether an authentic initiation with this timestamp may be taken now; 0 or the reason why not. Takes it if so. */
  takeTimestamp(timestamp: Uint8Array, now: Instant): number {
    const last = this.#lastTimestamp
    if (last !== undefined && compareBytes(timestamp, last) <= 0) return DropReason.StaleTimestamp
    this.#lastTimestamp = timestamp
    this.#lastInitiation = now
    this.#core.ports.event({ kind: 'timestamp', association: this })
    return 0
  }

  /** More than 50 initiations a second from one peer are too many, authentic ones too. */
  isFlooding(now: Instant): boolean {
    return this.#lastInitiation !== undefined && elapsed(this.#lastInitiation, now) < INITIATION_SPACING
  }

  /** Answers an authentic, fresh initiation. */
  respond(opened: OpenedInitiation, from: Endpoint, now: Instant): number {
    const reply = answer(this.#core, opened, this.#keys.psk, this.#initiator.cookie(now))
    if (typeof reply === 'number') return reply
    const { local, mac1, sendKey, receiveKey } = reply
    const indices = { local, remote: opened.sender }
    const session = this.#makeSession({ ...indices, initiator: false, sendKey, receiveKey }, now, now)
    this.#slots.offer(session)
    this.#lastResponse = { local, mac1, to: copyEndpoint(from) }
    this.#authenticated(now)
    // A peer of whom we know a place keeps it until his first data comes: this message may have been relayed by anyone.
    if (this.#path.endpoint === undefined) this.#path.set(from)
    this.#initiator.yieldTo(now)
    this.#arm(session.expiresAt)
    this.transmit(reply.message, from, now)
    return 0
  }

  /** A response to one of our initiations. */
  finish(attempt: Attempt, response: Response, from: Endpoint, bytes: number, now: Instant): number {
    const keys = this.#initiator.answered(attempt, response, now)
    if (typeof keys === 'number') return keys
    const rekey = this.#slots.current !== undefined
    const { sendKey, receiveKey } = keys
    const indices = { local: attempt.local, remote: response.sender }
    this.#slots.adopt(this.#makeSession({ ...indices, initiator: true, sendKey, receiveKey }, now, attempt.sentAt))
    this.#authenticated(now)
    this.#settledAt = now
    this.#follow(from, bytes, true)
    this.#arm(this.#slots.nextExpiry)
    this.#arm(this.#initiator.due)
    // The responder may not send before it has heard us in the new session (§5.4.6).
    if (!this.#flush(now)) this.sendKeepalive(now)
    if (keys.first) this.#established(rekey)
    return 0
  }

  /** A cookie reply that names an initiation of ours, or our last response. */
  takeCookie(attempt: Attempt | undefined, reply: CookieReply, now: Instant): number {
    const last = this.#lastResponse?.local === reply.receiver ? this.#lastResponse.mac1 : undefined
    const mac1 = attempt === undefined ? last : attempt.cookieTaken ? undefined : attempt.mac1
    if (mac1 === undefined || !this.#initiator.takeCookie(mac1, reply, now)) return DropReason.BadCookie
    if (attempt === undefined) this.#lastResponse = undefined
    else attempt.cookieTaken = true
    return 0
  }

  initiate(now: Instant, how: 'restart' | 'call' = 'restart'): void {
    this.#initiator[how](now)
    this.#arm(this.#initiator.due)
  }

  sendKeepalive(now: Instant): void {
    if (this.#slots.current?.canSend(now)) this.#sealAndSend(EMPTY, now)
    else this.#demand(now)
  }

  setEndpoint(endpoint: Endpoint, now: Instant): void {
    this.#path.set(endpoint)
    if ((this.#queue?.length ?? 0) > 0) this.#demand(now)
  }

  /** Runs what is due and arms the next timer. */
  expire(now: Instant): void {
    if (this.#slots.expire(now)) this.#core.ports.event({ kind: 'lapsed', association: this })
    if (this.#liveness.takeKeepalive(now)) this.#keepaliveIfAlive(now)
    if (this.#liveness.takeSilence(now)) this.#initiator.want('eager', now)
    const persistent = this.#liveness.persistentAt(this.establishedAt)
    if (persistent !== undefined && now >= persistent) {
      this.#liveness.spoke(now)
      this.#keepaliveIfAlive(now)
    }
    this.#initiator.expire(now)
    const next = this.#nextDue()
    if (next !== undefined) this.#arm(laterThan(now, next.at))
  }

  /** What the earliest timer is for. */
  get why(): string {
    return this.#nextDue()?.why ?? 'nothing'
  }

  /** Asking has ended without answer; what waited for it is dropped. */
  gaveUp(): void {
    this.#queue?.clear()
    this.#queue = undefined
  }

  pathForInitiation(bytes: number): Endpoint | undefined {
    return this.#path.forInitiation(bytes)
  }

  transmit(datagram: Uint8Array, to: Endpoint, now: Instant): void {
    this.counters.outerSent += datagram.length
    this.#liveness.spoke(now)
    this.#core.ports.transmit(datagram, to, this)
  }

  #follow(from: Endpoint, bytes: number, newest: boolean): void {
    const left = this.#path.received(from, bytes, newest)
    if (left !== undefined) this.#core.ports.event({ kind: 'roamed', association: this, from: left, to: this.#path.endpoint! })
  }

  /* ── Sessions. ── */

  #makeSession(
    start: { local: number; remote: number; initiator: boolean; sendKey: Uint8Array; receiveKey: Uint8Array },
    now: Instant,
    begunAt: Instant,
  ): Session<WireguardAssociation> {
    const rekeyAt = after(now, milliseconds(REKEY_AFTER_TIME + this.#core.dice() * REKEY_SPREAD))
    const session = new Session<WireguardAssociation>(this.#core.local.suite, this, { ...start, now, begunAt, rekeyAt })
    start.sendKey.fill(0)
    start.receiveKey.fill(0)
    this.#core.indexes.put(session.local, session)
    return session
  }

  /** The peer has confirmed a session of its making, and it is the current one now. */
  #promoted(session: Session, rekey: boolean, now: Instant): void {
    const sameHandshake = rekey && this.#settledAt !== undefined && session.createdAt < this.#settledAt
    this.#settledAt = now
    this.#lastResponse = undefined
    this.#initiator.stop()
    this.#flush(now)
    if (!sameHandshake) this.#established(rekey)
  }

  #established(rekey: boolean): void {
    this.counters.handshakes++
    this.#core.ports.event({ kind: 'established', association: this, rekey })
  }

  /** Where both ends' handshakes crossed, a peer may stay with the older session of the two. */
  #isCurrentEnough(session: Session): boolean {
    return session === this.#slots.current || session.createdAt >= (this.#slots.current?.begunAt ?? 0)
  }

  #rekey(now: Instant): void {
    if (this.#initiator.isAsking) return
    this.#initiator.want('calm', now)
    this.#arm(this.#initiator.due)
  }

  /* ── Waiting for a session. ── */

  #wait(inner: Uint8Array, length: number, now: Instant): number {
    this.#queue ??= new PacketQueue()
    for (let left = this.#queue.push(inner.subarray(0, length)); left > 0; left--) this.#core.counters.count(DropReason.QueueFull)
    this.#demand(now)
    return DropReason.NoSession
  }

  /** Asks for a session, unless the peer is about to confirm one of its own making. */
  #demand(now: Instant): void {
    if (this.#path.endpoint === undefined) return
    const offered = this.#slots.unconfirmed
    const patience = Math.max(EAGER_RETRY, 2 * (this.roundTrip ?? 0))
    const waited = offered === undefined ? patience : elapsed(offered.createdAt, now)
    this.#initiator.want('eager', now, milliseconds(Math.max(0, patience - waited)))
    this.#arm(this.#initiator.due)
  }

  /** Sends what waited; false where nothing did. */
  #flush(now: Instant): boolean {
    const queue = this.#queue
    this.#queue = undefined
    if (queue === undefined || queue.length === 0) return false
    for (let packet = queue.shift(); packet !== undefined; packet = queue.shift()) this.#sealAndSend(packet, now)
    return true
  }

  #sealAndSend(packet: Uint8Array, now: Instant): void {
    const scratch = borrowScratch(packet.length + PADDING + SEAL_OVERHEAD)
    const size = this.seal(packet, packet.length, scratch, now)
    if (size < 0) this.#core.counters.count(size)
    else this.#core.ports.transmit(scratch.subarray(0, size), this.#path.endpoint!, this)
    returnScratch(scratch)
  }

  /* ── Timers. ── */

  #authenticated(now: Instant): void {
    this.#lastAuthentic = now
    this.#liveness.heard()
  }

  #keepaliveIfAlive(now: Instant): void {
    if (this.#slots.current?.canSend(now)) this.#sealAndSend(EMPTY, now)
  }

  #arm(at: Instant | undefined): void {
    this.#core.timers.hasten(this, at)
  }

  #nextDue(): Deadline | undefined {
    return firstOf([
      [this.#initiator.due, this.#initiator.why],
      [this.#slots.nextExpiry, 'the oldest session ends'],
      [this.#liveness.keepaliveAt, 'an empty packet is owed for data received'],
      [this.#liveness.silentAt, 'handshake, since nothing answers our data'],
      [this.#liveness.persistentAt(this.establishedAt), 'persistent keepalive'],
    ])
  }
}
