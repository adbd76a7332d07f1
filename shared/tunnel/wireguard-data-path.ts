import { compareBytes } from '#shared/bytes/compare.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { after, elapsed, type Instant, milliseconds } from '#shared/time/instant.ts'
import type { Endpoint, TrafficCounters } from './association.ts'
import type { LaneHeard, LaneSent } from './data-lane.ts'
import type { AssociationOptions, EndpointCore } from './endpoint-core.ts'
import { LaneTie } from './lane-tie.ts'
import { Liveness } from './liveness.ts'
import { PacketQueue } from './packet-queue.ts'
import { innerLength, paddedLength } from './padding.ts'
import { PathGuard } from './path-guard.ts'
import { borrowScratch, returnScratch } from './scratch.ts'
import { Session } from './session.ts'
import { SessionSlots } from './session-slots.ts'
import type { WireguardAssociation } from './wireguard-association.ts'
import { PADDING, REKEY_AFTER_TIME, REKEY_ON_RECEIPT_TIME, REKEY_SPREAD, SEAL_OVERHEAD } from './wireguard-constants.ts'

const EMPTY = new Uint8Array(0)
const NO_SALT = new Uint8Array(4)

type OwnSession = Session<WireguardAssociation>

/** What a handshake has come to. The keys are wiped by whoever makes a session of it. */
interface Agreement {
  readonly local: number
  readonly remote: number
  readonly initiator: boolean
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
}

/**
 * The data half of a WireguardAssociation: its sessions, the path to the peer, packets that wait for a session, and the timers that data
 * sets off. Where there is a data lane it lends its sessions to that, and is told afterwards what they have moved.
 */
export class WireguardDataPath {
  readonly counters: TrafficCounters = { outerSent: 0, outerReceived: 0, innerSent: 0, innerReceived: 0, handshakes: 0 }
  readonly slots: SessionSlots<OwnSession>
  readonly liveness: Liveness
  readonly #path: PathGuard
  readonly #core: EndpointCore
  readonly #owner: WireguardAssociation
  readonly #tie: LaneTie | undefined
  #queue: PacketQueue | undefined

  constructor(core: EndpointCore, owner: WireguardAssociation, peer: Uint8Array, options: AssociationOptions) {
    this.#core = core
    this.#owner = owner
    this.#tie = core.lane && new LaneTie(core.lane, owner)
    this.slots = new SessionSlots(compareBytes(core.local.staticKey.publicKey, peer) > 0, (session) => {
      core.indexes.release(session.local)
      if (session.isLaned) this.#tie?.release(session.local)
      session.wipe()
    })
    this.liveness = new Liveness(options.persistentKeepalive)
    this.#path = new PathGuard(options.steered)
    this.#path.set(options.endpoint)
  }

  get endpoint(): Endpoint | undefined {
    return this.#path.endpoint
  }

  /** Whether packets wait for a session. */
  get isAwaited(): boolean {
    return (this.#queue?.length ?? 0) > 0
  }

  /* ── Packets. ── */

  /** As `Association.seal`. */
  seal(inner: Uint8Array, length: number, out: Uint8Array, now: Instant): number {
    const session = this.slots.current
    if (session === undefined || !session.canSend(now)) return this.#keep(inner, length, now)
    if (this.#path.endpoint === undefined) return DropReason.NoSession
    const padded = paddedLength(length, this.#core.innerMtu)
    if (!this.#path.spend(padded + SEAL_OVERHEAD)) return DropReason.AmplificationLimit
    const size = session.seal(inner, length, padded, out)
    if (size > 0) this.#wasSent(session, size, length, length > 0, now)
    return size
  }

  /** The lane has sent by one of our sessions. */
  sent(session: OwnSession, { outerBytes, innerPackets, innerBytes }: LaneSent, now: Instant): void {
    this.#wasSent(session, outerBytes, innerBytes, innerPackets > 0, now)
  }

  /** A datagram that names one of our sessions. Returns the inner packet's length, or a DropReason. */
  open(session: OwnSession, datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number {
    const padded = session.open(datagram, out, now)
    if (padded < 0) return padded
    this.#wasHeard(session, from, datagram.length, session.newest, now)
    if (padded === 0) return 0
    this.#wantsAnswer(session, now)
    const length = innerLength(out, padded)
    if (length > 0) this.counters.innerReceived += length
    return length
  }

  /** The lane has opened what came for one of our sessions. */
  heard(session: OwnSession, { from, newest, outerBytes, innerPackets, innerBytes }: LaneHeard, now: Instant): void {
    this.#wasHeard(session, from, outerBytes, newest > 0, now)
    // The second of them came from where the first had moved the peer to, which proves the place.
    if (newest > 1) this.#follow(from, 0, this.#isCurrentEnough(session))
    if (innerPackets > 0) this.#wantsAnswer(session, now)
    this.counters.innerReceived += innerBytes
    this.#route(now)
  }

  /** Sends an authenticated packet without content; false where no session can. */
  sendEmpty(now: Instant): boolean {
    const canSend = this.slots.current?.canSend(now) ?? false
    if (canSend) this.#sealAndSend(EMPTY, now)
    return canSend
  }

  /** Sends what waited; false where nothing did. */
  flush(now: Instant): boolean {
    const queue = this.#queue
    this.#queue = undefined
    if (queue === undefined || queue.length === 0) return false
    for (let packet = queue.shift(); packet !== undefined; packet = queue.shift()) this.#sealAndSend(packet, now)
    return true
  }

  /** Drops what waits. */
  clearQueue(): void {
    this.#queue?.clear()
    this.#queue = undefined
  }

  /* ── Sessions. ── */

  /** The peer has answered: a session to send with from now on. `from`, `bytes`: of the answer. */
  adopt(agreed: Agreement, from: Endpoint, bytes: number, begunAt: Instant, now: Instant): void {
    this.slots.adopt(this.#sessionOf(agreed, begunAt, now))
    this.#follow(from, bytes, true)
    this.#route(now)
  }

  /** We have answered the peer, who must speak in the session before we do. */
  offer(agreed: Agreement, from: Endpoint, now: Instant): Session {
    const session = this.#sessionOf(agreed, now, now)
    this.slots.offer(session)
    // A peer of whom we know a place keeps it until his first data comes: the message may have been relayed by anyone.
    if (this.#path.endpoint === undefined) this.setEndpoint(from, now)
    return session
  }

  /** Ends what is too old; true where that was the last session to send with. */
  expire(now: Instant): boolean {
    const lapsed = this.slots.expire(now)
    this.#route(now)
    return lapsed
  }

  /** Forgets every session; true where there was one to send with. */
  clear(): boolean {
    const had = this.slots.current !== undefined
    this.slots.clear()
    this.#tie?.stop()
    this.clearQueue()
    this.liveness.clear()
    return had
  }

  #sessionOf(agreed: Agreement, begunAt: Instant, now: Instant): OwnSession {
    const { local, remote, initiator, sendKey, receiveKey } = agreed
    const rekeyAt = after(now, milliseconds(REKEY_AFTER_TIME + this.#core.dice() * REKEY_SPREAD))
    const start = { local, remote, initiator, sendKey, receiveKey, now, begunAt, rekeyAt }
    const session: OwnSession = new Session(this.#core.local.suite, this.#owner, start)
    const numbers = this.#tie?.install({
      local,
      remote,
      algorithm: 'chacha20-poly1305',
      sendKey,
      receiveKey,
      sendSalt: NO_SALT,
      receiveSalt: NO_SALT,
      firstNumber: 0,
      esn: false,
      innerMtu: this.#core.innerMtu,
      expiresAt: session.expiresAt,
      otherTraffic: false,
    })
    if (numbers !== undefined) session.lend(numbers)
    sendKey.fill(0)
    receiveKey.fill(0)
    this.#core.indexes.put(local, session)
    return session
  }

  /** Where both ends' handshakes crossed, a peer may stay with the older session of the two. */
  #isCurrentEnough(session: OwnSession): boolean {
    return session === this.slots.current || session.createdAt >= (this.slots.current?.begunAt ?? 0)
  }

  /* ── The path. ── */

  /** The owner's word. */
  setEndpoint(endpoint: Endpoint, now: Instant): void {
    this.#path.set(endpoint)
    this.#route(now)
  }

  /** What we sent there was answered from there. */
  reached(at: Endpoint): void {
    this.#path.reached(at)
  }

  /** Where an initiation of so many bytes goes. */
  forInitiation(bytes: number): Endpoint | undefined {
    return this.#path.forInitiation(bytes)
  }

  #follow(from: Endpoint, bytes: number, newest: boolean): void {
    const left = this.#path.received(from, bytes, newest)
    if (left !== undefined) this.#owner.roamed(left, this.#path.endpoint!)
  }

  /** Says whether the lane may send by itself: by a session of its own, and where nothing limits us. */
  #route(now: Instant): void {
    const tie = this.#tie
    if (tie === undefined) return
    const session = this.slots.current
    const to = this.#path.provenEndpoint
    if (session?.isLaned && to !== undefined && session.canSend(now)) tie.send(session.local, to)
    else tie.stop()
  }

  /* ── What packets lead to, whoever moved them. ── */

  #wasSent(session: OwnSession, outerBytes: number, innerBytes: number, hasContent: boolean, now: Instant): void {
    this.counters.outerSent += outerBytes
    this.counters.innerSent += innerBytes
    this.#owner.arm(this.liveness.sent(hasContent, now, this.#core.dice))
    if (session.isDueForRekey(now)) this.#owner.renew(now)
  }

  #wasHeard(session: OwnSession, from: Endpoint, outerBytes: number, newest: boolean, now: Instant): void {
    this.counters.outerReceived += outerBytes
    this.#owner.authentic(now)
    const rekey = this.slots.current !== undefined
    const promoted = this.slots.heard(session)
    // Only the newest packet says where the peer is, and only in the newest session that he has spoken in.
    this.#follow(from, outerBytes, newest && this.#isCurrentEnough(session))
    if (promoted) this.#owner.promoted(session, from, rekey, now)
    this.#route(now)
  }

  #wantsAnswer(session: OwnSession, now: Instant): void {
    this.#owner.arm(this.liveness.owe(now))
    if (session.initiator && elapsed(session.createdAt, now) >= REKEY_ON_RECEIPT_TIME) this.#owner.renew(now)
  }

  /* ── Sending. ── */

  #keep(inner: Uint8Array, length: number, now: Instant): number {
    this.#queue ??= new PacketQueue()
    for (let left = this.#queue.push(inner.subarray(0, length)); left > 0; left--) this.#core.counters.count(DropReason.QueueFull)
    this.#owner.demand(now)
    return DropReason.NoSession
  }

  #sealAndSend(packet: Uint8Array, now: Instant): void {
    const scratch = borrowScratch(packet.length + PADDING + SEAL_OVERHEAD)
    const size = this.seal(packet, packet.length, scratch, now)
    if (size < 0) this.#core.counters.count(size)
    else this.#core.ports.transmit(scratch.subarray(0, size), this.#path.endpoint!, this.#owner)
    returnScratch(scratch)
  }
}
