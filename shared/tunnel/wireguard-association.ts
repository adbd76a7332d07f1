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
import type { PeerKeys } from './peer-keys.ts'
import { answer } from './responder.ts'
import type { Session } from './session.ts'
import { firstOf, laterThan, type Sleeper } from './wake-ups.ts'
import { CONFIRM_TIMEOUT, EAGER_RETRY, INITIATION_SPACING } from './wireguard-constants.ts'
import { WireguardDataPath } from './wireguard-data-path.ts'

/**
 * One peer of a WireguardEndpoint, which makes it (`addPeer`) and calls everything below the contract of `Association`.
 *
 *   idle --seal, initiate--> handshaking --response, or the peer's first data--> established --REJECT-AFTER-TIME--> idle
 */
export class WireguardAssociation implements Association, Sleeper {
  readonly id = nextAssociationId()
  readonly suite = 'noise'
  /** For `Deadlines`. */
  due = 0 as Instant
  slot = -1

  /** Called by the endpoint with what names one of our sessions. */
  readonly data: WireguardDataPath
  readonly #core: EndpointCore
  readonly #keys: PeerKeys
  readonly #initiator: Initiator
  /** This end always wants the association. */
  readonly #forever: boolean
  #lastTimestamp: Uint8Array | undefined
  #lastAuthentic: Instant | undefined
  /** When the last session became the current one: what was offered before belongs to the same handshake. */
  #settledAt: Instant | undefined
  #lastInitiation: Instant | undefined
  /** Index and mac1 of our last response, which a cookie reply may answer, and where it went. */
  #lastResponse: { local: number; mac1: Uint8Array; to: Endpoint } | undefined
  /** We ask for a session ourselves then, unless the peer has made one of our last answer, or answered us. */
  #confirmBy: Instant | undefined

  constructor(core: EndpointCore, keys: PeerKeys, options: AssociationOptions) {
    this.#core = core
    this.#keys = keys
    this.#forever = options.forever
    this.#initiator = new Initiator(core, this, keys, options.forever)
    this.data = new WireguardDataPath(core, this, keys.publicKey, options)
    this.#lastTimestamp = options.lastTimestamp?.slice()
  }

  get counters(): TrafficCounters {
    return this.data.counters
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
    if (this.data.slots.current !== undefined) return 'established'
    return this.#initiator.isAsking || this.data.slots.unconfirmed !== undefined ? 'handshaking' : 'idle'
  }

  get endpoint(): Endpoint | undefined {
    return this.data.endpoint
  }

  get lastAuthentic(): Instant | undefined {
    return this.#lastAuthentic
  }

  get establishedAt(): Instant | undefined {
    return this.data.slots.current?.createdAt
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
    return this.data.slots.count
  }

  /** The session that we send with: its age and counters, for tests and diagnostics. */
  get session(): Session<WireguardAssociation> | undefined {
    return this.data.slots.current
  }

  seal(inner: Uint8Array, length: number, out: Uint8Array, now: Instant): number {
    return this.data.seal(inner, length, out, now)
  }

  reset(): void {
    this.#initiator.stop()
    const had = this.data.clear()
    this.#lastResponse = undefined
    this.#confirmBy = undefined
    this.#core.timers.cancel(this)
    if (had) this.#core.ports.event({ kind: 'lapsed', association: this })
  }

  /* ── Below: called by the endpoint and the initiator. ── */

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
    const reply = answer(this.#core, opened, this.#keys, this.#initiator.cookie(now))
    if (typeof reply === 'number') return reply
    const { local, mac1, sendKey, receiveKey } = reply
    this.authentic(now)
    const agreed = { local, remote: opened.sender, initiator: false, sendKey, receiveKey }
    const session = this.data.offer(agreed, from, now)
    this.#lastResponse = { local, mac1, to: copyEndpoint(from) }
    this.#initiator.yieldTo(now)
    this.arm(session.expiresAt)
    if (this.#forever) this.#confirmBy = after(now, milliseconds(Math.max(CONFIRM_TIMEOUT, 2 * (this.roundTrip ?? 0))))
    this.arm(this.#confirmBy)
    this.transmit(reply.message, from, now)
    return 0
  }

  /** A response to one of our initiations. */
  finish(attempt: Attempt, response: Response, from: Endpoint, bytes: number, now: Instant): number {
    const keys = this.#initiator.answered(attempt, response, now)
    if (typeof keys === 'number') return keys
    const rekey = this.session !== undefined
    const { sendKey, receiveKey } = keys
    this.authentic(now)
    this.#settledAt = now
    this.#confirmBy = undefined
    const agreed = { local: attempt.local, remote: response.sender, initiator: true, sendKey, receiveKey }
    this.data.adopt(agreed, from, bytes, attempt.sentAt, now)
    this.arm(this.data.slots.nextExpiry)
    this.arm(this.#initiator.due)
    // The responder may not send before it has heard us in the new session (§5.4.6).
    if (!this.data.flush(now)) this.sendKeepalive(now)
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
    this.arm(this.#initiator.due)
  }

  sendKeepalive(now: Instant): void {
    if (!this.data.sendEmpty(now)) this.demand(now)
  }

  setEndpoint(endpoint: Endpoint, now: Instant): void {
    this.data.setEndpoint(endpoint, now)
    if (this.data.isAwaited) this.demand(now)
  }

  /** Runs what is due and arms the next timer. */
  expire(now: Instant): void {
    const { liveness } = this.data
    if (this.data.expire(now)) this.#core.ports.event({ kind: 'lapsed', association: this })
    if (liveness.takeKeepalive(now)) this.data.sendEmpty(now)
    if (liveness.takeSilence(now)) this.#initiator.want('eager', now)
    const persistent = liveness.persistentAt(this.establishedAt)
    if (persistent !== undefined && now >= persistent) {
      liveness.spoke(now)
      this.data.sendEmpty(now)
    }
    if (this.#confirmBy !== undefined && now >= this.#confirmBy) {
      this.#confirmBy = undefined
      this.renew(now)
    }
    this.#initiator.expire(now)
    const next = this.#nextDue()
    if (next !== undefined) this.arm(laterThan(now, next.at))
  }

  /** What the earliest timer is for. */
  get why(): string {
    return this.#nextDue()?.why ?? 'nothing'
  }

  /** Asking has ended without answer; what waited for it is dropped. */
  gaveUp(): void {
    this.data.clearQueue()
  }

  pathForInitiation(bytes: number): Endpoint | undefined {
    return this.data.forInitiation(bytes)
  }

  transmit(datagram: Uint8Array, to: Endpoint, now: Instant): void {
    this.counters.outerSent += datagram.length
    this.data.liveness.spoke(now)
    this.#core.ports.transmit(datagram, to, this)
  }

  /* ── Called by the data half. ── */

  authentic(now: Instant): void {
    this.#lastAuthentic = now
    this.data.liveness.heard()
  }

  roamed(from: Endpoint, to: Endpoint): void {
    this.#core.ports.event({ kind: 'roamed', association: this, from, to })
  }

  /**
   * The peer has confirmed a session of its making, by a packet that came from `from`, and it is the current one now. `rekey`: there was
   * one before.
   */
  promoted(session: Session, from: Endpoint, rekey: boolean, now: Instant): void {
    // He has had our response there, or he could not speak in its session: that is as good as a second packet.
    if (this.#lastResponse?.local === session.local && sameEndpoint(this.#lastResponse.to, from)) this.data.reached(from)
    const sameHandshake = rekey && this.#settledAt !== undefined && session.createdAt < this.#settledAt
    this.#settledAt = now
    this.#lastResponse = undefined
    this.#confirmBy = undefined
    this.#initiator.stop()
    this.data.flush(now)
    if (!sameHandshake) this.#established(rekey)
  }

  /** A session is due, and nobody waits for it. */
  renew(now: Instant): void {
    if (this.#initiator.isAsking) return
    this.#initiator.want('calm', now)
    this.arm(this.#initiator.due)
  }

  /** Asks for a session, unless the peer is about to confirm one of its own making. */
  demand(now: Instant): void {
    if (this.endpoint === undefined) return
    const offered = this.data.slots.unconfirmed
    const patience = Math.max(EAGER_RETRY, 2 * (this.roundTrip ?? 0))
    const waited = offered === undefined ? patience : elapsed(offered.createdAt, now)
    this.#initiator.want('eager', now, milliseconds(Math.max(0, patience - waited)))
    this.arm(this.#initiator.due)
  }

  /** A timer may be due by then. */
  arm(at: Instant | undefined): void {
    this.#core.timers.hasten(this, at)
  }

  #established(rekey: boolean): void {
    this.counters.handshakes++
    this.#core.ports.event({ kind: 'established', association: this, rekey })
  }

  #nextDue(): Deadline | undefined {
    const { slots, liveness } = this.data
    return firstOf([
      [this.#initiator.due, this.#initiator.why],
      [this.#confirmBy, 'handshake, since nobody confirms what we answered'],
      [slots.nextExpiry, 'the oldest session ends'],
      [liveness.keepaliveAt, 'an empty packet is owed for data received'],
      [liveness.silentAt, 'handshake, since nothing answers our data'],
      [liveness.persistentAt(this.establishedAt), 'persistent keepalive'],
    ])
  }
}
