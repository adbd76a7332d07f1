import { DropReason } from '#shared/drop-reason.ts'
import type { ChildSaKeys } from '#shared/ikev2/ike-output.ts'
import type { Lifetime } from '#shared/ikev2/peer-policy.ts'
import { type Duration, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import { EspNextHeader } from '#shared/wire/esp.ts'
import { type Association, type Endpoint, sameEndpoint, type TrafficCounters } from './association.ts'
import type { LaneHeard, LaneSent } from './data-lane.ts'
import { ESP_MAX_OVERHEAD } from './esp-constants.ts'
import type { EspCore } from './esp-core.ts'
import { innerOf, nextHeaderOf } from './esp-inner.ts'
import { espLaneSession } from './esp-lane-session.ts'
import { EspSession } from './esp-session.ts'
import { EspSlots } from './esp-slots.ts'
import type { HeldIkeSa } from './held-ike-sa.ts'
import { LaneTie } from './lane-tie.ts'
import { Liveness } from './liveness.ts'
import { PacketQueue } from './packet-queue.ts'
import { PathGuard } from './path-guard.ts'
import { borrowScratch, returnScratch } from './scratch.ts'
import type { SelectorGate } from './selector-gate.ts'

const EMPTY = new Uint8Array(0)
/** How often the renewal of a Child SA is asked for. */
const RENEW_SPACING: Duration = seconds(5)

type Session = EspSession<HeldIkeSa>

/** What the data half of an association asks of the other. */
interface EspDataPathOwner extends Association {
  /** The IKE SA that negotiates for the association. */
  readonly ike: HeldIkeSa | undefined
  /** An authentic packet came, of any kind. */
  authentic(now: Instant): void
  /** A Child SA sends from now on; `rekey`: in the place of one that still lived. */
  established(rekey: boolean): void
  /** The last one that sent has ended. */
  lapsed(): void
  roamed(from: Endpoint, to: Endpoint): void
  transmit(datagram: Uint8Array, to: Endpoint): void
  /** A timer of `liveness` may be due by then. */
  arm(at: Instant | undefined): void
}

/**
 * The data half of an EspAssociation: its Child SAs, the one path that they share with IKE, and packets that wait for them. Where there is
 * a data lane it lends its Child SAs to that, and is told afterwards what they have moved.
 */
export class EspDataPath {
  readonly counters: TrafficCounters = { outerSent: 0, outerReceived: 0, innerSent: 0, innerReceived: 0, handshakes: 0 }
  readonly slots: EspSlots<Session>
  readonly path = new PathGuard()
  liveness = new Liveness(undefined)
  readonly #core: EspCore
  readonly #owner: EspDataPathOwner
  readonly #tie: LaneTie | undefined
  #queue: PacketQueue | undefined
  /** What the Child SA may carry that the lane was given last. */
  #lanedGate: SelectorGate | undefined

  constructor(core: EspCore, owner: EspDataPathOwner) {
    this.#core = core
    this.#owner = owner
    this.#tie = core.lane && new LaneTie(core.lane, owner)
    this.slots = new EspSlots((session) => {
      core.spis.release(session.inboundSpi)
      if (session.isLaned) this.#tie?.release(session.inboundSpi)
      session.wipe()
    })
  }

  /** Whether packets wait for a Child SA. */
  get isAwaited(): boolean {
    return (this.#queue?.length ?? 0) > 0
  }

  /** As `Association.seal`; the caller asks for a session where NoSession is returned. */
  seal(inner: Uint8Array, length: number, out: Uint8Array, now: Instant): number {
    if (length > this.#core.innerMtu) return DropReason.InnerTooBig
    const nextHeader = nextHeaderOf(inner)
    if (nextHeader < 0) return DropReason.InnerMalformed
    const session = this.slots.forPacket(inner, length)
    if (session === undefined && this.slots.isSending) return DropReason.SelectorRefused
    if (session === undefined || !session.canSend) return this.#keep(inner, length)
    return this.#sealWith(session, inner, length, nextHeader, out, now)
  }

  /** The lane has sent by one of our Child SAs. */
  sent(session: Session, { datagrams, outerBytes, innerPackets, innerBytes }: LaneSent, now: Instant): void {
    session.carried(datagrams, outerBytes)
    this.#wasSent(session, outerBytes, innerBytes, innerPackets > 0, now)
  }

  /** A datagram that names one of our Child SAs. Returns the inner packet's length, or a DropReason. */
  open(session: Session, datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number {
    const length = session.open(datagram, out)
    if (length < 0) return length
    this.#wasHeard(session, from, datagram.length, session.newest, now)
    const inner = innerOf(out, length, session.gate, this.#core.innerMtu)
    if (inner <= 0) return inner
    this.#owner.arm(this.liveness.owe(now))
    this.counters.innerReceived += inner
    return inner
  }

  /** The lane has opened what came for one of our Child SAs. */
  heard(session: Session, news: LaneHeard, now: Instant): void {
    const { from, newest, outerBytes } = news
    session.carried(news.datagrams, outerBytes)
    this.#wasHeard(session, from, outerBytes, newest > 0, now)
    // The second of them came from where the first had moved the peer to, which proves the place.
    if (newest > 1) this.follow(from, 0, this.slots.isLatest(session))
    if (news.innerPackets > 0) this.#owner.arm(this.liveness.owe(now))
    this.counters.innerReceived += news.innerBytes
  }

  /** Sends an authenticated packet without content; false where no Child SA can. */
  sendDummy(now: Instant): boolean {
    const session = this.slots.current
    if (!session?.canSend) return false
    const scratch = borrowScratch(ESP_MAX_OVERHEAD)
    this.#transmit(scratch, this.#sealWith(session, EMPTY, 0, EspNextHeader.None, scratch, now))
    returnScratch(scratch)
    return true
  }

  /** Drops what waits. */
  clearQueue(): void {
    this.#queue?.clear()
    this.#queue = undefined
  }

  /** Forgets every Child SA. */
  clear(): void {
    this.#whileWatching(() => this.slots.clear())
    this.clearQueue()
    this.liveness.clear()
  }

  /* ── Child SAs. ── */

  /** A Child SA has been agreed: it receives at once. Wipes the keys. */
  install(held: HeldIkeSa, keys: ChildSaKeys, lifetime: Lifetime, replaces: number | undefined, now: Instant): void {
    const { suite, dice, spis } = this.#core
    const session: Session = new EspSession(suite, held, keys, lifetime, dice, now)
    this.#lend(session, keys)
    for (const { encryption, integrity } of [keys.inbound, keys.outbound]) {
      encryption.fill(0)
      integrity.fill(0)
    }
    spis.put(session.inboundSpi, session)
    this.slots.install(session, replaces)
  }

  /** It sends from now on. */
  use(inboundSpi: number, now: Instant): void {
    const session = this.slots.get(inboundSpi)
    if (session !== undefined && this.slots.use(inboundSpi)) this.#used(session, now)
  }

  /** Only Child SAs of this IKE SA send, as soon as it has one. */
  prefer(ike: HeldIkeSa | undefined): void {
    this.slots.prefer(({ owner }) => owner === ike)
    this.#route()
  }

  /** It has ended: what is under way is received for a while, unless it is spent. */
  retire(inboundSpi: number, isSpent: boolean, now: Instant): void {
    this.#whileWatching(() => {
      if (isSpent) this.slots.drop(inboundSpi)
      else this.slots.retire(inboundSpi, now)
    })
  }

  /** Its IKE SA has ended, and they with it. */
  retireAllOf(held: HeldIkeSa, now: Instant): void {
    this.#whileWatching(() => {
      for (const session of this.slots.sessions()) if (session.owner === held) this.slots.retire(session.inboundSpi, now)
    })
  }

  #lend(session: Session, keys: ChildSaKeys): void {
    const child = espLaneSession(keys)
    if (this.#tie === undefined || child === undefined) return
    const before = this.#lanedGate
    const otherTraffic = before !== undefined && !before.equals(session.gate)
    const numbers = this.#tie.install({ ...child, innerMtu: this.#core.innerMtu, otherTraffic })
    if (numbers === undefined) return
    this.#lanedGate = session.gate
    session.lend(numbers)
  }

  /** The association is (re-)established by it, unless it stands beside another one of the same IKE SA. */
  #used(session: Session, now: Instant): void {
    let rekey = false
    let isBeside = false
    for (const other of this.slots.sessions()) {
      if (other === session) continue
      rekey = true
      if (other.owner === session.owner && this.slots.sends(other)) isBeside = true
    }
    this.prefer(this.#owner.ike)
    this.#flush(now)
    if (isBeside) return
    this.counters.handshakes++
    this.#owner.established(rekey)
  }

  /** A limit in packets or bytes has been reached. */
  #renew(session: Session, now: Instant): void {
    const { owner, inboundSpi } = session
    if (session.isSpent || !session.canSend) {
      this.retire(inboundSpi, true, now)
      if (!owner.hasEnded) owner.sa.closeChild(inboundSpi, now)
    } else {
      if (session.askedAt !== undefined && elapsed(session.askedAt, now) < RENEW_SPACING) return
      session.askedAt = now
      if (!owner.hasEnded) owner.sa.rekeyChild(inboundSpi, now)
    }
    owner.settle(now)
  }

  #whileWatching(change: () => void): void {
    const had = this.slots.isSending
    change()
    this.#route()
    if (had && !this.slots.isSending) this.#owner.lapsed()
  }

  /* ── The path. ── */

  /** The owner's word. */
  setEndpoint(endpoint: Endpoint): void {
    this.path.set(endpoint)
    this.#route()
  }

  /** An authentic datagram of `bytes` came; `newest`: no later one has come before. */
  follow(from: Endpoint, bytes: number, newest: boolean): void {
    const left = this.path.received(from, bytes, newest)
    this.#route()
    if (left !== undefined) this.#owner.roamed(left, this.path.endpoint!)
  }

  /** The peer has shown that it receives there. */
  moveTo(to: Endpoint): void {
    const from = this.path.endpoint
    this.setEndpoint(to)
    if (from !== undefined && !sameEndpoint(from, to)) this.#owner.roamed(from, to)
  }

  /** Says whether the lane may send by itself: by one Child SA of its own that carries all, and where nothing limits or pads it. */
  #route(): void {
    const tie = this.#tie
    if (tie === undefined) return
    const session = this.slots.sole
    const to = this.path.provenEndpoint
    if (session?.isLaned && session.canSend && to !== undefined && !this.#pads(session)) tie.send(session.inboundSpi, to)
    else tie.stop()
  }

  /* ── What packets lead to, whoever moved them. ── */

  #wasSent(session: Session, outerBytes: number, innerBytes: number, hasContent: boolean, now: Instant): void {
    this.counters.outerSent += outerBytes
    this.counters.innerSent += innerBytes
    this.#owner.arm(this.liveness.sent(hasContent, now, this.#core.dice))
    if (session.isDueForRekey) this.#renew(session, now)
  }

  #wasHeard(session: Session, from: Endpoint, outerBytes: number, newest: boolean, now: Instant): void {
    this.counters.outerReceived += outerBytes
    this.#owner.authentic(now)
    const isNews = this.slots.heard(session)
    // Only the newest packet says where the peer is, and only in the youngest Child SA that he has spoken in.
    this.follow(from, outerBytes, newest && this.slots.isLatest(session))
    const { owner } = session
    owner.dataHeard(session.inboundSpi, now)
    if (isNews) this.#used(session, now)
    if (session.isDueForRekey) this.#renew(session, now)
  }

  /* ── Sending. ── */

  #keep(inner: Uint8Array, length: number): number {
    this.#queue ??= new PacketQueue()
    for (let left = this.#queue.push(inner.subarray(0, length)); left > 0; left--) this.#core.counters.count(DropReason.QueueFull)
    return DropReason.NoSession
  }

  #flush(now: Instant): void {
    const queue = this.#queue
    this.#queue = undefined
    if (queue === undefined) return
    for (let packet = queue.shift(); packet !== undefined; packet = queue.shift()) {
      const scratch = borrowScratch(packet.length + this.#core.tfcPadding + ESP_MAX_OVERHEAD)
      this.#transmit(scratch, this.seal(packet, packet.length, scratch, now))
      returnScratch(scratch)
    }
  }

  #sealWith(session: Session, inner: Uint8Array, length: number, nextHeader: number, out: Uint8Array, now: Instant): number {
    if (this.path.endpoint === undefined) return DropReason.NoSession
    const padded = this.#paddedLength(session, length, out.length)
    if (!this.path.spend(session.sealedLength(padded))) return DropReason.AmplificationLimit
    const size = session.seal(inner, length, padded, nextHeader, out)
    if (size > 0) this.#wasSent(session, size, length, length > 0, now)
    return size
  }

  /** With TFC padding, where the peer takes it and `out` has room. */
  #paddedLength(session: Session, length: number, room: number): number {
    const { tfcPadding, innerMtu } = this.#core
    if (length === 0 || !this.#pads(session)) return length
    const padded = Math.min(Math.max(length, innerMtu), Math.ceil(length / tfcPadding) * tfcPadding)
    return session.sealedLength(padded) <= room ? padded : length
  }

  #pads({ tfcRefused }: Session): boolean {
    return this.#core.tfcPadding > 0 && !tfcRefused
  }

  #transmit(scratch: Uint8Array, size: number): void {
    if (size < 0) this.#core.counters.count(size)
    else this.#owner.transmit(scratch.subarray(0, size), this.path.endpoint!)
  }
}
