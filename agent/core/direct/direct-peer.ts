/**
 * One other end with which we hold an association of our own: its places, the hole punch towards them, the choice among the ways that
 * were proven, and the filter of what comes in. `direct-peers.ts` drives it.
 *
 *   inner packet -> seal -> association -> the way in use (UDP, or a packet through the hub)
 *   datagram -> opened by the association -> message of ours | filter -> netstack
 */
import type { PeerStatement } from '#shared/fleet/statement.ts'
import { type Deadline, soonest } from '#shared/machine.ts'
import type { Candidate, CandidateKind } from '#shared/nat/candidate.ts'
import { HolePunch } from '#shared/nat/hole-punch.ts'
import { PathChoice, type PathReason } from '#shared/nat/path-choice.ts'
import type { Path } from '#shared/nat/path-way.ts'
import { after, type Duration, elapsed, type Instant, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { copyEndpoint, type Endpoint, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { DirectFilter } from './direct-filter.ts'
import { type DirectMessage, encodeDirectMessage, readDirectMessage } from './direct-message.ts'
import { type InnerPair, longestMessage, overlayPacket } from './overlay-packet.ts'

/** What a person asked for: any way, the hub alone, or no hub. */
export type PathWish = 'auto' | 'relay' | 'direct'

/** What one peer asks of those who hold all. Datagrams are borrowed for the call. */
export interface DirectPeerPorts {
  /** Seals an inner packet of the association and sends it by `to`; false where there is no session to seal it in. */
  sealTo(peer: DirectPeer, packet: Uint8Array, to: Endpoint, now: Instant): boolean
  ownCandidates(): readonly Candidate[]
  /** How our network writes a place that the other end named. */
  wayTo(place: Endpoint): Endpoint
  relayUp(): boolean
  /** The way in use changed: it is the association's endpoint from now on. */
  uses(peer: DirectPeer, path: Path, why: PathReason, now: Instant): void
  /** Nothing answers any more, not even through the hub: the peer has forgotten us, or is gone. */
  lost(peer: DirectPeer, now: Instant): void
}

export interface DirectPeerOptions {
  readonly statement: PeerStatement
  readonly association: WireguardAssociation
  /** The way through the hub. */
  readonly overlay: Endpoint
  /** Our address and the peer's inside the fleet, of one family. */
  readonly inner: InnerPair
  readonly filter: DirectFilter
  /** We are the operator: we keep the way open, and begin each hole punch. */
  readonly leads: boolean
  readonly firstProbe: number
  readonly ports: DirectPeerPorts
}

/** While the relay is used, direct ways are looked for so often. */
const punchAgain: readonly Duration[] = [3, 6, 12, 30, 60].map(seconds)
/** The machine of paths need not hear of every packet. */
const SENT_GRAIN = milliseconds(100)
/** What any path carries, sealed: the least that IPv4 asks of one is 576. Bytes of an inner packet. */
const CARRIED_ANYWHERE = 480
/** A place from which the other end spoke is asked in return, but not for each of its probes. */
const CHECK_SPACING = milliseconds(30)

/** Below this no packet is cut, whatever a broker says. Bytes. */
const LEAST_MTU = 400
/** A path that was small may have grown (RFC 8201 §4). */
const MTU_LIFE = minutes(10)

export class DirectPeer {
  readonly association: WireguardAssociation
  readonly overlay: Endpoint
  readonly inner: InnerPair
  readonly leads: boolean
  readonly paths: PathChoice
  readonly punch = new HolePunch()
  /** What a person asked for: of this device, or at a device that meets others through the hub alone. */
  wish: PathWish = 'auto'
  /** It believes nothing of ours but by this association, as it has said itself. */
  isStrict = false
  /** Its last packet for us came through the hub in the clear of our association: so it is answered. */
  isPlain = false
  /** When the way in use was taken. */
  usedSince: Instant | undefined
  /** How many attempts to find a direct way have failed since the last one that did not. */
  failedPunches = 0
  readonly #ports: DirectPeerPorts
  #statement: PeerStatement
  #filter: DirectFilter
  #places: readonly Candidate[] = []
  #punchAt: Instant | undefined
  #sentAt: Instant | undefined
  #sentLargeAt: Instant | undefined
  #relayRoom: { readonly mtu: number; readonly until: Instant } | undefined
  #checked: { readonly at: Instant; readonly from: Endpoint; readonly heard: 'small' | 'full' } | undefined

  constructor({ statement, association, overlay, inner, filter, leads, firstProbe, ports }: DirectPeerOptions) {
    this.#statement = statement
    this.association = association
    this.overlay = overlay
    this.inner = inner
    this.#filter = filter
    this.leads = leads
    this.#ports = ports
    this.paths = new PathChoice({ relay: overlay, holdsOpen: leads }, firstProbe)
  }

  get statement(): PeerStatement {
    return this.#statement
  }

  get filter(): DirectFilter {
    return this.#filter
  }

  get name(): string {
    return this.#statement.name
  }

  /** The same end at the same addresses, under newer statements. */
  renewed(statement: PeerStatement, filter: DirectFilter): this {
    this.#statement = statement
    this.#filter = filter
    return this
  }

  /** The same as our network leads there. */
  get #ways(): readonly Candidate[] {
    return this.#places.map(({ kind, endpoint }) => ({ kind, endpoint: this.#ports.wayTo(endpoint) }))
  }

  /** Where the other end says that it may be met. */
  get places(): readonly Candidate[] {
    return this.#places
  }

  get isEstablished(): boolean {
    return this.association.state === 'established'
  }

  setPlaces(places: readonly Candidate[]): void {
    this.#places = places
  }

  /** A session exists: from now on ways can be proven. `from`: whence the message that completed it came. */
  established(from: Endpoint | undefined, rekey: boolean, now: Instant): void {
    if (from !== undefined && !isCarried(from) && this.wish !== 'relay')
      this.paths.handle({ kind: 'try', endpoint: from, as: this.#kindOf(from), heard: 'small' }, now)
    if (this.#ports.relayUp()) this.paths.handle({ kind: 'try', endpoint: this.overlay, as: 'overlay' }, now)
    this.#drain(now)
    if (this.leads && !rekey) this.beginPunch(now)
  }

  /** Asks the other end to punch with us, and does so itself half a round trip later, when it has read that. */
  beginPunch(now: Instant): void {
    this.#punchAt = undefined
    if (!this.isEstablished || this.wish === 'relay') return
    this.say({ kind: 'punch', candidates: this.#ports.ownCandidates(), delayMs: 0 }, this.paths.used.endpoint, now)
    const trip = this.paths.used.roundTrip ?? this.association.roundTrip ?? 0
    this.punch.handle({ kind: 'start', candidates: this.#ways, at: after(now, milliseconds(trip / 2)) }, now)
    this.#drain(now)
  }

  /** Leaves the direct way in use. */
  useRelay(now: Instant): void {
    this.#punchAt = undefined
    this.punch.handle({ kind: 'stop' }, now)
    this.paths.handle({ kind: 'relay-only' }, now)
    this.#drain(now)
  }

  /** The network of this end is another one. */
  moved(now: Instant): void {
    this.paths.handle({ kind: 'moved' }, now)
    this.failedPunches = 0
    this.beginPunch(now)
  }

  relayChanged(up: boolean, now: Instant): void {
    this.paths.handle({ kind: 'relay', up }, now)
    this.#drain(now)
  }

  /** One of the user's packets goes out, so many bytes long. */
  sent(length: number, now: Instant): void {
    const isLarge = length > CARRIED_ANYWHERE
    const before = isLarge ? this.#sentLargeAt : this.#sentAt
    if (before !== undefined && elapsed(before, now) < SENT_GRAIN) return
    this.#sentAt = now
    if (isLarge) this.#sentLargeAt = now
    this.paths.handle({ kind: 'sent', isLarge }, now)
    this.#drain(now)
  }

  /** The hub says how large a packet may be that it is to bring there: bytes. */
  relayTakes(mtu: number, now: Instant): void {
    this.#relayRoom = { mtu: Math.max(LEAST_MTU, mtu), until: after(now, MTU_LIFE) }
  }

  /** Bytes; Infinity: nothing was said of it of late. */
  relayMtu(now: Instant): number {
    return this.#relayRoom !== undefined && now < this.#relayRoom.until ? this.#relayRoom.mtu : Number.POSITIVE_INFINITY
  }

  /** An authentic datagram came from there; `isUsers`: with a packet of the user's in it. */
  heard(from: Endpoint, isUsers: boolean, now: Instant): void {
    this.paths.handle({ kind: 'heard', from, isUsers }, now)
  }

  /** A message of ours that came inside the association, by `from`. False: it is none. */
  hear(payload: Uint8Array, from: Endpoint, now: Instant): boolean {
    const message = readDirectMessage(payload)
    if (message === undefined) return false
    switch (message.kind) {
      case 'probe':
        if (!isCarried(from) && this.wish === 'relay' && !this.leads) break
        this.say({ kind: 'echo', id: message.id }, from, now, payload.length)
        this.#check(from, this.#isFull(payload) ? 'full' : 'small', now)
        break
      case 'echo':
        this.paths.handle({ kind: 'answer', id: message.id, from, full: this.#isFull(payload) }, now)
        if (this.paths.isProven(from, now)) this.punch.handle({ kind: 'proven', endpoint: from }, now)
        break
      case 'punch':
        this.#places = message.candidates
        this.say({ kind: 'places', candidates: this.#ports.ownCandidates() }, from, now)
        if (this.wish !== 'relay')
          this.punch.handle({ kind: 'start', candidates: this.#ways, at: after(now, milliseconds(message.delayMs)) }, now)
        break
      case 'places':
        this.#news(message.candidates, now)
    }
    this.#drain(now)
    return true
  }

  /** `length`: of a probe or its answer, bytes, where it shall be longer than need be. */
  say(message: DirectMessage, to: Endpoint, now: Instant, length = 0): void {
    if (this.isEstablished) this.#ports.sealTo(this, overlayPacket(this.inner, encodeDirectMessage(message, length)), to, now)
  }

  expire(now: Instant): void {
    if (this.#punchAt !== undefined && now >= this.#punchAt) this.beginPunch(now)
    this.punch.handle({ kind: 'time' }, now)
    if (this.isEstablished) this.paths.handle({ kind: 'time' }, now)
    this.#drain(now)
    if (this.isEstablished && this.paths.isLost) this.#ports.lost(this, now)
  }

  deadline(): Deadline | undefined {
    const punching = soonest(this.punch.deadline(), this.isEstablished ? this.paths.deadline() : undefined)
    return this.#punchAt === undefined ? punching : soonest(punching, { at: this.#punchAt, why: 'look for a direct path again' })
  }

  /** RFC 8445 §7.3.1.4: the other end's probe has opened our NAT's counterpart; ours goes back through the same holes at once. */
  #check(from: Endpoint, heard: 'small' | 'full', now: Instant): void {
    if (isCarried(from) || this.wish === 'relay' || this.paths.isProven(from, now)) return
    const last = this.#checked
    // Where both NATs map by the remote, two places speak in turn, and only one of them can be met.
    const isAgain = last !== undefined && sameEndpoint(last.from, from) && last.heard === heard
    if (isAgain && elapsed(last.at, now) < CHECK_SPACING) return
    this.#checked = { at: now, from: copyEndpoint(from), heard }
    this.punch.handle({ kind: 'seen', endpoint: from }, now)
    this.paths.handle({ kind: 'try', endpoint: from, as: this.#kindOf(from), heard }, now)
  }

  /** The other end's places as they are now; those that we did not know are worth a punch that is under way. */
  #news(candidates: readonly Candidate[], now: Instant): void {
    const known = this.#places
    this.#places = candidates
    const isNews = candidates.some(({ endpoint }) => !known.some((other) => sameEndpoint(other.endpoint, endpoint)))
    if (isNews && this.punch.isRunning) this.punch.handle({ kind: 'start', candidates: this.#ways, at: now }, now)
  }

  #drain(now: Instant): void {
    for (let output = this.punch.poll(); output !== undefined; output = this.punch.poll()) {
      if (output.kind === 'probe') this.paths.handle({ kind: 'try', endpoint: output.to, as: this.#kindOf(output.to) }, now)
      else this.#punchOver(now)
    }
    for (let output = this.paths.poll(); output !== undefined; output = this.paths.poll()) {
      if (output.kind === 'probe')
        this.say({ kind: 'probe', id: output.id }, output.to, now, output.full ? longestMessage(this.inner) : 0)
      else this.#use(output.path, output.why, now)
    }
  }

  #punchOver(now: Instant): void {
    if (this.paths.isDirect) this.failedPunches = 0
    else if (this.leads && this.wish !== 'relay') {
      const wait = punchAgain[Math.min(this.failedPunches, punchAgain.length - 1)]!
      this.failedPunches++
      this.#punchAt = after(now, wait)
    }
  }

  #use(path: Path, why: PathReason, now: Instant): void {
    this.usedSince = now
    if (path.kind === 'overlay' && this.leads && this.wish !== 'relay') this.#punchAt ??= after(now, punchAgain[0]!)
    if (path.kind !== 'overlay') this.failedPunches = 0
    this.#ports.uses(this, path, why, now)
  }

  #isFull(message: Uint8Array): boolean {
    return message.length >= longestMessage(this.inner)
  }

  #kindOf(endpoint: Endpoint): CandidateKind {
    return this.#ways.find((place) => sameEndpoint(place.endpoint, endpoint))?.kind ?? 'peer-reflexive'
  }
}
