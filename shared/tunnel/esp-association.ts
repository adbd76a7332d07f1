import { DropReason } from '#shared/drop-reason.ts'
import type { ChildSaKeys, IkeOutput, ResumptionTicket } from '#shared/ikev2/ike-output.ts'
import type { AuthenticatedPeer, PeerGrant } from '#shared/ikev2/peer-policy.ts'
import type { Deadline } from '#shared/machine.ts'
import { after, type Duration, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import type { Association, AssociationState, Endpoint, TrafficCounters } from './association.ts'
import { nextAssociationId } from './association-id.ts'
import type { EspCore } from './esp-core.ts'
import { EspDataPath } from './esp-data-path.ts'
import { EspInitiator } from './esp-initiator.ts'
import type { EspPeerOptions } from './esp-options.ts'
import type { EspSession } from './esp-session.ts'
import type { HeldIkeSa } from './held-ike-sa.ts'
import { IkeSaSlots } from './ike-sa-slots.ts'
import { Liveness } from './liveness.ts'
import { TicketStore } from './ticket-store.ts'
import { firstOf, laterThan, type Sleeper } from './wake-ups.ts'
import { wrongPeer } from './wrong-peer.ts'

/** A peer that was asked for a sign of life and gave none is asked for a new association. */
const PROBE_PATIENCE: Duration = seconds(3)
/** How often a Child SA that is missing is asked for. */
const CHILD_SPACING: Duration = seconds(5)
/** How often an unprotected word of an association that is not known (`isUnknownSa`) is heeded. */
const DOUBT_SPACING: Duration = seconds(10)

type Session = EspSession<HeldIkeSa>
type Why<Kind extends IkeOutput['kind']> = Extract<IkeOutput, { kind: Kind; why: string }>['why']

/**
 * One peer of an EspEndpoint, which makes it (`addPeer`, or when a peer has proven who it is) and calls everything below the contract of
 * `Association`. Its IKE SAs negotiate, its Child SAs carry (`EspDataPath`); both share one path, which follows the newest authentic
 * packet of either, so that liveness and data never part.
 *
 *   idle --seal, initiate--> handshaking --IKE_AUTH--> established --the last Child SA ends--> idle
 */
export class EspAssociation implements Association, Sleeper {
  readonly id = nextAssociationId()
  readonly suite = 'esp'
  readonly peerKey: string
  /** For `Deadlines`. */
  due = 0 as Instant
  slot = -1

  /** Called by the endpoint with what names one of our Child SAs. */
  readonly data: EspDataPath
  readonly #core: EspCore
  readonly #initiator: EspInitiator
  readonly #ikes = new IkeSaSlots()
  readonly #tickets = new TicketStore()
  #grant: PeerGrant | undefined
  #lastAuthentic: Instant | undefined
  /** When a Child SA was asked for last; when the peer's silence means a new association. */
  #askedAt: Instant | undefined
  #reviveAt: Instant | undefined
  #doubtedAt: Instant | undefined
  #hasLived = false

  constructor(core: EspCore, peerKey: string) {
    this.#core = core
    this.peerKey = peerKey
    this.#initiator = new EspInitiator(core, this)
    this.data = new EspDataPath(core, this)
  }

  get counters(): TrafficCounters {
    return this.data.counters
  }

  get state(): AssociationState {
    if (this.data.slots.isSending) return 'established'
    return this.#initiator.isAsking || this.#ikes.current !== undefined ? 'handshaking' : 'idle'
  }

  get endpoint(): Endpoint | undefined {
    return this.data.path.endpoint
  }

  get lastAuthentic(): Instant | undefined {
    return this.#lastAuthentic
  }

  get establishedAt(): Instant | undefined {
    return this.session?.createdAt
  }

  /** The Child SA that we send with: its age and counters, for tests and diagnostics. */
  get session(): Session | undefined {
    return this.data.slots.current
  }
  /** Child SAs, oldest first, those included that only receive still. */
  get sessions(): Iterable<Session> {
    return this.data.slots.sessions()
  }
  get sessionCount(): number {
    return this.data.slots.count
  }
  /** IKE SAs that are authenticated, those included that are about to be closed; the one that negotiates. */
  get ikeCount(): number {
    return this.#ikes.all.length
  }

  get ike(): HeldIkeSa | undefined {
    return this.#ikes.current
  }

  seal(inner: Uint8Array, length: number, out: Uint8Array, now: Instant): number {
    const size = this.data.seal(inner, length, out, now)
    if (size === DropReason.NoSession) this.#demand(now)
    return size
  }

  reset(): void {
    this.#initiator.stop()
    for (const held of this.#ikes.all) this.#forget(held)
    this.data.clear()
    this.#reviveAt = undefined
    this.#core.timers.cancel(this)
  }

  /** The peer's grant allows other traffic than before: its Child SA is agreed on anew. */
  renegotiate(now: Instant): void {
    this.#ikes.current?.sa.renegotiate(now)
    this.#ikes.current?.settle(now)
    this.#rearm(now)
  }

  /** Sends the peer to another gateway (RFC 5685): a host name or a literal address. False: it cannot be sent. */
  redirect(to: string, now: Instant): boolean {
    const held = this.#ikes.current
    const isAsked = held?.sa.redirect(to, now) ?? false
    held?.settle(now)
    this.#rearm(now)
    return isAsked
  }

  /* ── Below: called by the endpoint. ── */

  /** What the owner knows of a peer that we may begin with. */
  configure({ initiation, persistentKeepalive, firstContact }: EspPeerOptions): void {
    this.#initiator.set(initiation, firstContact ?? false)
    if (persistentKeepalive !== undefined) this.data.liveness = new Liveness(persistentKeepalive)
  }

  initiate(now: Instant): void {
    const held = this.#ikes.current
    if (held === undefined || this.#initiator.isAsking) this.#initiator.restart(now)
    // It may be that our own address has changed: who speaks MOBIKE wants to hear of that, by way of the new path.
    if (held !== undefined) this.#probe(held, now, held.initiator)
    this.#rearm(now)
  }

  call(now: Instant): void {
    const held = this.#ikes.current
    if (held === undefined) this.#initiator.call(now)
    else this.#probe(held, now)
    this.#rearm(now)
  }

  /** Somebody at the peer's place says that our association is not known there: the peer is asked, but not at a stranger's pace. */
  doubt(now: Instant): void {
    if (this.#doubtedAt !== undefined && elapsed(this.#doubtedAt, now) < DOUBT_SPACING) return
    this.#doubtedAt = now
    this.initiate(now)
  }

  sendKeepalive(now: Instant): void {
    if (this.data.sendDummy(now)) return
    if (this.#ikes.current !== undefined) this.#probe(this.#ikes.current, now)
    else this.#demand(now)
  }

  setEndpoint(endpoint: Endpoint, now: Instant): void {
    this.data.setEndpoint(endpoint)
    if (this.data.isAwaited) this.#demand(now)
  }

  /** Tells the peer, and forgets everything. */
  leave(now: Instant): void {
    for (const held of this.#ikes.all) held.leave(now)
    this.reset()
    this.#tickets.clear()
  }

  /** Runs what is due and arms the next timer. */
  expire(now: Instant): void {
    const { slots, liveness } = this.data
    slots.expire(now)
    for (let held = this.#ikes.takeDue(now); held !== undefined; held = this.#ikes.takeDue(now)) {
      held.leave(now)
      this.#forget(held, now)
    }
    if (liveness.takeKeepalive(now)) this.data.sendDummy(now)
    if (liveness.takeSilence(now) && this.#ikes.current !== undefined) this.#probe(this.#ikes.current, now)
    const persistent = liveness.persistentAt(this.establishedAt)
    if (persistent !== undefined && now >= persistent) {
      liveness.spoke(now)
      this.data.sendDummy(now)
    }
    if (this.#reviveAt !== undefined && now >= this.#reviveAt) {
      this.#reviveAt = undefined
      this.#initiator.want(now)
    }
    this.#initiator.expire(now)
    this.#rearm(now)
  }

  get why(): string {
    return this.#nextDue()?.why ?? 'nothing'
  }

  /* ── Called by the initiator and by the IKE SAs. ── */

  /** An association with the peer was made since we started: the peer may hold one still. */
  get hasLived(): boolean {
    return this.#hasLived
  }

  /** Asking has ended without answer; what waited for it is dropped. */
  gaveUp(): void {
    this.data.clearQueue()
  }

  keepTicket(ticket: ResumptionTicket, now: Instant): void {
    this.#tickets.keep(ticket, now)
  }

  takeTicket(now: Instant): ResumptionTicket | undefined {
    return this.#tickets.take(now)
  }

  /** Where an IKE message of `bytes` goes. */
  pathFor(bytes: number): Endpoint | undefined {
    return this.data.path.forInitiation(bytes)
  }

  /** An IKE message of `bytes` went out. */
  spoke(bytes: number, now: Instant): void {
    this.counters.outerSent += bytes
    this.data.liveness.spoke(now)
  }

  /** A new, authentic message came on an IKE SA. */
  heardIke(held: HeldIkeSa, from: Endpoint, bytes: number, now: Instant): void {
    this.counters.outerReceived += bytes
    this.authentic(now)
    if (held === this.#ikes.current) this.data.follow(from, bytes, true)
  }

  /** The peer has proven who it is. */
  authenticated(held: HeldIkeSa, peer: AuthenticatedPeer, grant: PeerGrant, initialContact: boolean, now: Instant): void {
    if (grant.peerKey !== this.peerKey) {
      this.#core.onFailure(wrongPeer(held.place, peer, grant))
      held.leave(now)
      this.#initiator.closed(held, now)
      this.#rearm(now)
      return
    }
    // Whoever begins anew holds no other association with us.
    if (initialContact) for (const other of this.#ikes.all) this.#forget(other, now)
    this.#grant = grant
    this.#hasLived = true
    const isCurrent = this.#ikes.adopt(held, now)
    this.data.prefer(this.#ikes.current)
    this.#initiator.answered(held, now)
    this.authentic(now)
    if (isCurrent && held.place !== undefined) this.data.moveTo(held.place)
    this.#rearm(now)
  }

  childUp(held: HeldIkeSa, keys: ChildSaKeys, replaces: number | undefined, now: Instant): void {
    const child = this.#grant?.child ?? this.#initiator.initiation?.child
    if (child !== undefined) this.data.install(held, keys, child.lifetime, replaces, now)
  }

  childUse(inboundSpi: number, now: Instant): void {
    this.data.use(inboundSpi, now)
  }

  childDown(inboundSpi: number, why: Why<'child-down'>, now: Instant): void {
    this.data.retire(inboundSpi, why === 'expired', now)
    this.#rearm(now)
  }

  /** A request is repeated without an answer. */
  unanswered(held: HeldIkeSa, sinceMs: number, attempts: number, now: Instant): void {
    this.#core.ports.event({ kind: 'unanswered', association: this, sinceMs, attempts })
    if (held !== this.#ikes.current) return
    this.#reviveAt ??= after(now, PROBE_PATIENCE)
    this.arm(this.#reviveAt)
  }

  /** MOBIKE: the peer is at `to`, and receives there. */
  movedTo(to: Endpoint): void {
    this.data.moveTo(to)
  }

  ikeClosed(held: HeldIkeSa, why: Why<'closed'>, now: Instant): void {
    if (!this.#initiator.closed(held, now)) {
      this.#forget(held, now)
      if (this.#ikes.current === undefined) {
        this.#reviveAt = undefined
        this.#initiator.lost(why !== 'dead', now)
      }
    }
    this.#rearm(now)
  }

  /* ── Called by the data half. ── */

  authentic(now: Instant): void {
    this.#lastAuthentic = now
    this.#reviveAt = undefined
    this.data.liveness.heard()
  }

  established(rekey: boolean): void {
    this.#core.ports.event({ kind: 'established', association: this, rekey })
  }

  lapsed(): void {
    this.#core.ports.event({ kind: 'lapsed', association: this })
  }

  roamed(from: Endpoint, to: Endpoint): void {
    this.#core.ports.event({ kind: 'roamed', association: this, from, to })
  }

  transmit(datagram: Uint8Array, to: Endpoint): void {
    this.#core.ports.transmit(datagram, to, this)
  }

  arm(at: Instant | undefined): void {
    this.#core.timers.hasten(this, at)
  }

  /* ── IKE SAs. ── */

  /** It has ended, and its Child SAs with it: of those that only follow it, what is under way is received still. */
  #forget(held: HeldIkeSa, now?: Instant): void {
    held.end()
    this.#ikes.remove(held)
    if (now !== undefined) this.data.retireAllOf(held, now)
  }

  /** Asks for a sign of life; without one a new association is asked for. */
  #probe(held: HeldIkeSa, now: Instant, mayHaveMoved = false): void {
    this.#reviveAt ??= after(now, PROBE_PATIENCE)
    if (mayHaveMoved) held.sa.move(now)
    else held.sa.probe(now)
    held.settle(now)
    this.arm(this.#reviveAt)
  }

  /** A packet waits. */
  #demand(now: Instant): void {
    const held = this.#ikes.current
    if (held === undefined) this.#initiator.want(now)
    else if (!this.data.slots.isWaiting && (this.#askedAt === undefined || elapsed(this.#askedAt, now) >= CHILD_SPACING)) {
      this.#askedAt = now
      this.#reviveAt ??= after(now, PROBE_PATIENCE)
      held.sa.createChild(now)
      held.settle(now)
    }
    this.#rearm(now)
  }

  /* ── Timers. ── */

  #rearm(now: Instant): void {
    const next = this.#nextDue()
    if (next !== undefined) this.arm(laterThan(now, next.at))
  }

  #nextDue(): Deadline | undefined {
    const { slots, liveness } = this.data
    return firstOf([
      [this.#initiator.due, this.#initiator.why],
      [slots.nextExpiry, 'an old Child SA is forgotten'],
      [this.#ikes.nextClose, 'an IKE SA that was replaced is closed'],
      [this.#reviveAt, 'IKE_SA_INIT, since nothing answers'],
      [liveness.keepaliveAt, 'an empty packet is owed for data received'],
      [liveness.silentAt, 'a sign of life is asked for, since nothing answers our data'],
      [liveness.persistentAt(this.establishedAt), 'persistent keepalive'],
    ])
  }
}
