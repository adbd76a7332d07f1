/**
 * All associations of the esp suite behind one identity: finds whose an IKE message or an ESP packet is, lets strangers knock (cheaply),
 * and drives the timers.
 *
 *   IKE_SA_INIT of a stranger -> IkeDoor -> half-open IKE SA -> IKE_AUTH -> `owner.admit` -> association
 *   other IKE messages        -> by our SPI -> IKE SA
 *   ESP                       -> by SPI -> Child SA
 *
 * Unknown peers get silence, or answers that say nothing about us. Nothing here throws on a stranger's bytes; every refusal is a counted
 * DropReason.
 */
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { IkeContext } from '#shared/ikev2/ike-context.ts'
import type { PeerGrant } from '#shared/ikev2/peer-policy.ts'
import type { Deadline } from '#shared/machine.ts'
import { uniform } from '#shared/time/backoff.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import { ESP_HEADER_LENGTH, espSpiOf } from '#shared/wire/esp.ts'
import { NON_ESP_MARKER } from '#shared/wire/ike-header.ts'
import { HeaderFlag } from '#shared/wire/ike-numbers.ts'
import { type Endpoint, sameEndpoint } from './association.ts'
import type { LaneHeard, LaneSent } from './data-lane.ts'
import { EspAssociation } from './esp-association.ts'
import type { EspCore } from './esp-core.ts'
import { packetIn } from './esp-inner.ts'
import type { EspEndpointFace, EspEndpointOptions, EspPeerOptions } from './esp-options.ts'
import type { EspSession } from './esp-session.ts'
import { isFirstMessage, isIkeMessage } from './first-message.ts'
import type { Arrival, HeldIkeSa } from './held-ike-sa.ts'
import { IkeDoor } from './ike-door.ts'
import { IkeSpiTable } from './ike-spi-table.ts'
import { sendIke } from './send-ike.ts'
import { SpiTable } from './spi-table.ts'
import { announcedLoss, isUnknownSa, UNKNOWN_SA_LENGTH, unknownChild } from './unknown-sa.ts'
import { WakeUps } from './wake-ups.ts'

/** Answers a second, to all, to ESP packets for Child SAs that are none of ours. */
const UNKNOWN_ANSWERS = 500

/** Bytes; TUNs and netstacks of stock peers go up to this. */
const INNER_MTU = 1500

export class EspEndpoint implements EspEndpointFace {
  readonly counters = new DropCounters()
  readonly #options: EspEndpointOptions
  readonly #core: Omit<EspCore, 'context'> & { context: IkeContext }
  readonly #door: IkeDoor
  readonly #byKey = new Map<string, EspAssociation>()
  /** The associations that we ask for: few, where `#byKey` may be a fleet. */
  readonly #ours = new Set<EspAssociation>()
  readonly #unknownAnswers = new TokenBucket(UNKNOWN_ANSWERS, UNKNOWN_ANSWERS)
  #opened: EspAssociation | undefined
  /** The latest instant that a call brought. */
  #now = instant(0)

  constructor(options: EspEndpointOptions) {
    const { suite, ports } = options
    this.#options = options
    const own = {
      suite,
      dice: uniform((length) => suite.random(length)),
      spis: new SpiTable<EspSession<HeldIkeSa>>(suite),
      ikeSpis: new IkeSpiTable<HeldIkeSa>(suite),
      lane: options.lane,
    }
    this.#core = {
      ...own,
      ports,
      counters: this.counters,
      timers: new WakeUps(),
      innerMtu: options.innerMtu ?? INNER_MTU,
      tfcPadding: options.tfcPadding ?? 0,
      context: contextOf(options.ike, own),
      onFailure: (failure) => options.onFailure(failure),
      admitted: (grant) => this.#admitted(grant),
      settled: (held) => this.#door.settled(held),
      reply: (message, { from, bare }) => sendIke(ports, message, from, bare, undefined),
    }
    this.#door = new IkeDoor(this.#core, options)
  }

  get opened(): EspAssociation | undefined {
    return this.#opened
  }

  /** IKE SAs whose peers have not proven who they are; IKE SAs and Child SAs in all. */
  get sizes(): { readonly halfOpen: number; readonly ikeSpis: number; readonly spis: number } {
    return { halfOpen: this.#door.halfOpen, ikeSpis: this.#core.ikeSpis.size, spis: this.#core.spis.size }
  }

  association(peerKey: string): EspAssociation | undefined {
    return this.#byKey.get(peerKey)
  }

  associations(): Iterable<EspAssociation> {
    return this.#byKey.values()
  }

  setIke(ike: EspEndpointOptions['ike']): void {
    this.#core.context = contextOf(ike, this.#core)
  }

  addPeer(options: EspPeerOptions, now: Instant): EspAssociation {
    this.#now = now
    const association = this.association(options.peerKey) ?? this.#make(options.peerKey)
    association.configure(options)
    this.#ours.add(association)
    if (options.endpoint !== undefined) association.setEndpoint(options.endpoint, now)
    if (options.firstContact && association.state === 'idle') association.initiate(now)
    return association
  }

  removePeer(association: EspAssociation): void {
    if (this.#byKey.get(association.peerKey) !== association) return
    this.#byKey.delete(association.peerKey)
    this.#ours.delete(association)
    association.leave(this.#now)
    if (this.#opened === association) this.#opened = undefined
  }

  /** With a live IKE SA the peer is asked for a sign of life (by MOBIKE, if our address has changed); only without one it begins anew. */
  initiate(association: EspAssociation, now: Instant): void {
    this.#now = now
    association.initiate(now)
  }

  call(association: EspAssociation, now: Instant): void {
    this.#now = now
    association.call(now)
  }

  sendKeepalive(association: EspAssociation, now: Instant): void {
    this.#now = now
    association.sendKeepalive(now)
  }

  setEndpoint(association: EspAssociation, endpoint: Endpoint, now: Instant): void {
    this.#now = now
    association.setEndpoint(endpoint, now)
  }

  /** `datagram` begins with the non-ESP marker. */
  handleControl(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    return this.#judged(datagram.subarray(NON_ESP_MARKER.length), { from, bare: false }, now)
  }

  handleBare(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    return this.#judged(datagram, { from, bare: true }, now)
  }

  open(datagram: Uint8Array, from: Endpoint, out: Uint8Array, now: Instant): number {
    this.#now = now
    if (datagram.length < ESP_HEADER_LENGTH || out.length < datagram.length) return this.#refuse(DropReason.Malformed)
    const session = this.#core.spis.get(espSpiOf(datagram))
    const association = session?.owner.association
    if (session === undefined || association === undefined) return this.#unknownChild(datagram, from, now)
    if (session.isLaned) return this.#handOn(datagram, from)
    const length = association.data.open(session, datagram, from, out, now)
    if (length < 0) return this.#refuse(length)
    this.#opened = association
    return length
  }

  heard(news: LaneHeard, now: Instant): EspAssociation | undefined {
    this.#now = now
    const session = this.#core.spis.get(news.local)
    const association = session?.owner.association
    if (session !== undefined) association?.data.heard(session, news, now)
    return association
  }

  sent(news: LaneSent, now: Instant): EspAssociation | undefined {
    this.#now = now
    const session = this.#core.spis.get(news.local)
    const association = session?.owner.association
    if (session !== undefined) association?.data.sent(session, news, now)
    return association
  }

  judge(local: number, bytes: Uint8Array, length: number): number {
    const session = this.#core.spis.get(local)
    const association = session?.owner.association
    if (session === undefined || association === undefined) return this.#refuse(DropReason.UnknownReceiver)
    const inner = packetIn(bytes, length, session.gate, this.#core.innerMtu)
    if (inner < 0) return this.#refuse(inner)
    this.#opened = association
    return inner
  }

  announceLoss(to: Endpoint): void {
    sendIke(this.#options.ports, announcedLoss(this.#core.suite), to, false, undefined)
  }

  expire(now: Instant): void {
    this.#now = now
    this.#core.timers.expire(now)
  }

  deadline(): Deadline | undefined {
    return this.#core.timers.deadline()
  }

  #judged(message: Uint8Array, arrival: Arrival, now: Instant): number {
    this.#now = now
    const verdict = this.#judge(message, arrival, now)
    return verdict < 0 ? this.#refuse(verdict) : verdict
  }

  #judge(message: Uint8Array, arrival: Arrival, now: Instant): number {
    if (!isIkeMessage(message)) return DropReason.Malformed
    if (isFirstMessage(message)) return this.#door.knock(message, arrival, now)
    if (isUnknownSa(message)) return this.#doubted(arrival.from, now)
    const view = new DataView(message.buffer, message.byteOffset, message.length)
    const isFromInitiator = (message[19]! & HeaderFlag.Initiator) !== 0
    const held = this.#core.ikeSpis.get(view.getBigUint64(isFromInitiator ? 8 : 0))
    return held === undefined ? DropReason.UnknownReceiver : held.receive(message, arrival, now)
  }

  /** A peer's, from before we started: it is told, so that it need not find out by our silence. */
  #unknownChild(datagram: Uint8Array, from: Endpoint, now: Instant): number {
    const isFormer = datagram.length >= UNKNOWN_SA_LENGTH && this.#options.mayHoldFormer?.(from) === true
    if (isFormer && this.#unknownAnswers.take(now)) {
      const answer = unknownChild(this.#core.suite, espSpiOf(datagram))
      sendIke(this.#options.ports, answer, from, false, undefined)
    }
    return this.#refuse(DropReason.UnknownReceiver)
  }

  #doubted(from: Endpoint, now: Instant): number {
    for (const association of this.#ours) if (sameEndpoint(association.endpoint, from)) association.doubt(now)
    return 0
  }

  #handOn(datagram: Uint8Array, from: Endpoint): number {
    this.#core.lane?.receive(datagram, from)
    return DropReason.HeldByLane
  }

  #refuse(reason: number): number {
    this.counters.count(reason)
    return reason
  }

  #admitted({ peerKey }: PeerGrant): EspAssociation {
    return this.association(peerKey) ?? this.#make(peerKey)
  }

  #make(peerKey: string): EspAssociation {
    const association = new EspAssociation(this.#core, peerKey)
    this.#byKey.set(peerKey, association)
    return association
  }
}

/** What the owner gives, and what is the endpoint's own to give. */
function contextOf(
  ike: EspEndpointOptions['ike'],
  { suite, dice, spis, ikeSpis, lane }: Pick<EspCore, 'suite' | 'dice' | 'spis' | 'ikeSpis' | 'lane'>,
): IkeContext {
  return {
    ...ike,
    suite,
    dice,
    // A getter of the owner's stays one.
    wall: () => ike.wall(),
    newSpi: () => ikeSpis.pick(),
    newEspSpi: (peerKey) => spis.reserve(lane && peerKey ? (spi) => lane.suits(spi, peerKey) : undefined),
    releaseEspSpi: (spi) => spis.unreserve(spi),
  }
}
