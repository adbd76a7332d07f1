import { DropReason } from '#shared/drop-reason.ts'
import type { ChildSaKeys } from '#shared/ikev2/ike-output.ts'
import type { Lifetime } from '#shared/ikev2/peer-policy.ts'
import { type Duration, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import { EspNextHeader } from '#shared/wire/esp.ts'
import { type Endpoint, sameEndpoint, type TrafficCounters } from './association.ts'
import { ESP_MAX_OVERHEAD } from './esp-constants.ts'
import type { EspCore } from './esp-core.ts'
import { innerOf, nextHeaderOf } from './esp-inner.ts'
import { EspSession } from './esp-session.ts'
import { EspSlots } from './esp-slots.ts'
import type { HeldIkeSa } from './held-ike-sa.ts'
import { Liveness } from './liveness.ts'
import { PacketQueue } from './packet-queue.ts'
import { PathGuard } from './path-guard.ts'
import { borrowScratch, returnScratch } from './scratch.ts'

const EMPTY = new Uint8Array(0)
/** How often the renewal of a Child SA is asked for. */
const RENEW_SPACING: Duration = seconds(5)

type Session = EspSession<HeldIkeSa>

/** What the data half of an association asks of the other. */
interface EspDataPathOwner {
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

/** The data half of an EspAssociation: its Child SAs, the one path that they share with IKE, and packets that wait for them. */
export class EspDataPath {
  readonly counters: TrafficCounters = { outerSent: 0, outerReceived: 0, innerSent: 0, innerReceived: 0, handshakes: 0 }
  readonly slots: EspSlots<Session>
  readonly path = new PathGuard()
  liveness = new Liveness(undefined)
  readonly #core: EspCore
  readonly #owner: EspDataPathOwner
  #queue: PacketQueue | undefined

  constructor(core: EspCore, owner: EspDataPathOwner) {
    this.#core = core
    this.#owner = owner
    this.slots = new EspSlots((session) => {
      core.spis.release(session.inboundSpi)
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
    const size = this.#sealWith(session, inner, length, nextHeader, out, now)
    if (size > 0) this.counters.innerSent += length
    return size
  }

  /** A datagram that names one of our Child SAs. Returns the inner packet's length, or a DropReason. */
  open(session: Session, datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number {
    const length = session.open(datagram, out)
    if (length < 0) return length
    this.counters.outerReceived += datagram.length
    this.#owner.authentic(now)
    const isNews = this.slots.heard(session)
    // Only the newest packet says where the peer is, and only in the youngest Child SA that he has spoken in.
    this.follow(from, datagram.length, session.newest && this.slots.isLatest(session))
    const { owner } = session
    owner.dataHeard(session.inboundSpi, now)
    if (isNews) this.#used(session, now)
    if (session.isDueForRekey) this.#renew(session, now)
    const inner = innerOf(out, length, session.gate, this.#core.innerMtu)
    if (inner <= 0) return inner
    this.#owner.arm(this.liveness.owe(now))
    this.counters.innerReceived += inner
    return inner
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
    if (had && !this.slots.isSending) this.#owner.lapsed()
  }

  /* ── The path. ── */

  /** An authentic datagram of `bytes` came; `newest`: no later one has come before. */
  follow(from: Endpoint, bytes: number, newest: boolean): void {
    const left = this.path.received(from, bytes, newest)
    if (left !== undefined) this.#owner.roamed(left, this.path.endpoint!)
  }

  /** The peer has shown that it receives there. */
  moveTo(to: Endpoint): void {
    const from = this.path.endpoint
    this.path.set(to)
    if (from !== undefined && !sameEndpoint(from, to)) this.#owner.roamed(from, to)
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
    if (size < 0) return size
    this.counters.outerSent += size
    this.#owner.arm(this.liveness.sent(length > 0, now, this.#core.dice))
    if (session.isDueForRekey) this.#renew(session, now)
    return size
  }

  /** With TFC padding, where the peer takes it and `out` has room. */
  #paddedLength(session: Session, length: number, room: number): number {
    const { tfcPadding, innerMtu } = this.#core
    if (tfcPadding === 0 || length === 0 || session.tfcRefused) return length
    const padded = Math.min(Math.max(length, innerMtu), Math.ceil(length / tfcPadding) * tfcPadding)
    return session.sealedLength(padded) <= room ? padded : length
  }

  #transmit(scratch: Uint8Array, size: number): void {
    if (size < 0) this.#core.counters.count(size)
    else this.#owner.transmit(scratch.subarray(0, size), this.path.endpoint!)
  }
}
