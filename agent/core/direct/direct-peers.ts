/**
 * The associations of this end with others, beside the one with the broker (DESIGN D6). An operator seeks devices; a device receives
 * whoever shows statements under the fleet key. Datagrams of both go by UDP or, as inner UDP on port 4501, through the hub.
 *
 *   operator  --letter: statements, places-->  device       (through the hub; to places known from before where the hub is silent)
 *             <--letter: places, or why not--
 *             --WireGuard handshake-->                      (the same way)
 *             --punch-->  <--places--                       (inside the association), then probes both ways at once
 */
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { RouteTable } from '#shared/dataplane/route-table.ts'
import { resetInAnswer, resetLimit } from '#shared/dataplane/tcp-reset.ts'
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import { isAditError } from '#shared/errors.ts'
import type { PeerStatement } from '#shared/fleet/statement.ts'
import { type Deadline, soonest } from '#shared/machine.ts'
import type { Candidate } from '#shared/nat/candidate.ts'
import type { Path, PathReason } from '#shared/nat/path-choice.ts'
import type { Netstack } from '#shared/netstack/netstack.ts'
import { type Clock, elapsed, type Instant, instant, minutes, seconds, type WallTime } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Association, PeerEndpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { classify, type DatagramKind } from '#shared/wire/demux.ts'
import { carriedBy, copyEndpoint, type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'
import { WITHDRAWAL_LENGTH, WITHDRAWAL_PORT } from '#shared/wire/withdrawal-notice.ts'
import { borrowScratch, returnScratch } from '../scratch.ts'
import { type OpenPorts, portsBetween } from './direct-access.ts'
import { DirectFilter } from './direct-filter.ts'
import { DirectPeer, type DirectPeerPorts, innerPair, type PathWish } from './direct-peer.ts'
import { type DirectStatus, directStatus } from './direct-status.ts'
import type { DirectTarget } from './direct-target.ts'
import { Introducer } from './introducer.ts'
import { type Answer, encodeAnswer, encodeIntroduction, type Introduction, readIntroduction } from './introduction.ts'
import { Letters, letterIn } from './letter.ts'
import { mayBeOverlay, OVERLAY_PORT, overlayMessageIn, overlayMtuIn, overlayPacket, piecesOf } from './overlay-packet.ts'
import { type Introduced, Reception, type StatementJudge } from './reception.ts'

/** What the owner of the core gives so that it may meet others directly. */
export interface DirectOptions {
  readonly role: 'device' | 'operator'
  readonly judge: StatementJudge
  /** The time at which statements are judged: never below the floor (DESIGN D5). */
  time(): WallTime
  /** Places of this end that the shell knows: addresses of its interfaces with the socket's port, and mapped ones. */
  places(): readonly Candidate[]
  /**
   * Whether devices and operators say nothing to each other but by an association of their own: a broker could read and forge any other
   * packet. A device that says so binds its operators too.
   */
  readonly strict?: () => boolean
  event?(event: DirectEvent): void
}

export type DirectEvent =
  | { kind: 'introduced'; name: string }
  | { kind: 'refused'; name: string; why: string }
  | { kind: 'established'; name: string }
  | { kind: 'path'; name: string; path: Path; why: PathReason }
  | { kind: 'closed'; name: string; why: 'expired' | 'withdrawn' | 'left' }

/** What the agent core does for it. Every buffer is borrowed for the call. */
export interface DirectHost {
  readonly suite: Suite
  readonly clock: Clock
  readonly tunnelKey: KeyPair
  /** Where it speaks noise, it holds our associations too. */
  readonly hubEndpoint: PeerEndpoint
  /** Takes the inner packets of peers that were judged; its UDP port 4501 is ours. */
  readonly netstack: Netstack
  /** An outer datagram over UDP. */
  send(datagram: Uint8Array, to: Endpoint): void
  /** An inner packet through the hub. */
  relay(packet: Uint8Array): void
  /** Whether an inner address is the broker's own. */
  isBroker(address: string): boolean
  /** Whether the hub carries, and the longest inner packet that it carries whole. */
  relayUp(): boolean
  relayMtu(): number
  /** Where STUN sees us. */
  reflexive(): Endpoint | undefined
  nextTimestamp(): Uint8Array
  /** Something is due earlier than was said. */
  wake(): void
}

interface Record {
  readonly peer: DirectPeer
  /** What was shown, to be judged again when the ledger has changed. */
  readonly statements: readonly Uint8Array[]
  readonly introducer?: Introducer
  /** The last answer came from there, where not through the hub. */
  answeredFrom?: Endpoint
}

/** Bytes: fits every path that carries IPv6, and through the hub two pieces at most (DESIGN §5). */
const INNER_MTU = 1280
/** Letters from strangers cost two Diffie-Hellmans each, a second; and at most so many at once. */
const LETTERS_PER_SECOND = 20
const LETTER_BURST = 40
/** Operators that a device holds; the one that was silent for longest gives way. */
const PEER_LIMIT = 64
/** A device forgets an operator without a session that has been silent for so long. */
const FORGET_AFTER = minutes(10)
const SWEEP_EVERY = seconds(30)
/** Places known from before that are written to where the hub is silent. */
const COLD_PLACES = 6

export class DirectPeers {
  readonly counters = new DropCounters()
  /** Whether WireGuard's datagrams are for us alone, since the hub speaks another suite. */
  readonly hasOwnEndpoint: boolean
  readonly #options: DirectOptions
  readonly #host: DirectHost
  /** Holds the associations. */
  readonly #endpoint: WireguardEndpoint
  readonly #letters: Letters
  readonly #reception: Reception | undefined
  readonly #strangers = new TokenBucket(LETTERS_PER_SECOND, LETTER_BURST)
  readonly #records = new Map<string, Record>()
  #byAddress = new RouteTable<DirectPeer>()
  #overlays = 0
  #fragmentId: number
  #sweepAt: Instant | undefined
  /** Whence the datagram under way came. */
  #from: Endpoint | undefined
  #relayWasUp = true

  constructor(options: DirectOptions, host: DirectHost) {
    this.#options = options
    this.#host = host
    this.#letters = new Letters(host.suite, host.tunnelKey)
    this.#fragmentId = this.#number()
    const { hubEndpoint } = host
    this.#endpoint = hubEndpoint instanceof WireguardEndpoint ? hubEndpoint : this.#makeEndpoint()
    this.hasOwnEndpoint = this.#endpoint !== hubEndpoint
    host.netstack.bindUdp({ port: OVERLAY_PORT }, (payload, { address }) => this.#overlay(payload, address))
    host.netstack.bindUdp({ port: WITHDRAWAL_PORT }, (payload, { address }) => this.#withdrawn(payload, address))
    if (options.role === 'device') this.#reception = new Reception(host.tunnelKey.publicKey, options.judge)
  }

  get size(): number {
    return this.#records.size
  }

  *peers(): Iterable<DirectPeer> {
    for (const { peer } of this.#records.values()) yield peer
  }

  /** Of the other end with this name. */
  status(name: string): DirectStatus | undefined {
    for (const { peer, introducer } of this.#records.values())
      if (peer.name === name) {
        const [ownPlaces, isStrict] = [this.#options.places(), this.#isStrictWith(peer)]
        return directStatus(peer, introducer, this.#host, { ownPlaces, isStrict, now: this.#now })
      }
    return undefined
  }

  /* ── The operator's wishes. ── */

  /** From now on packets to the device take an association with it, as soon as there is one; `places`: where it was met before. */
  seek(target: DirectTarget, wish: PathWish = 'auto', places: readonly Candidate[] = []): DirectPeer | undefined {
    const now = this.#now
    const key = toHex(target.device.tunnelKey)
    const known = this.#records.get(key)
    if (known !== undefined && sameStatements(known.statements, target.statements)) {
      const before = known.peer.wish
      known.peer.wish = wish
      // A direct way that is in use is given up by forgetting it; one that was not wished for is looked for now.
      if (wish === 'relay' && known.peer.paths.isDirect) known.peer.useRelay(now)
      else if (before === 'relay' && wish !== 'relay') known.peer.beginPunch(now)
      if (!known.peer.isEstablished && !known.introducer?.isAsking) this.#introduce(known, now)
      return known.peer
    }
    const record = this.#add(target.device, target.statements, undefined, now, known?.peer)
    if (record === undefined) return undefined
    record.peer.wish = wish
    record.peer.setPlaces(known?.peer.places.length ? known.peer.places : places)
    this.#introduce(record, now)
    this.#host.wake()
    return record.peer
  }

  /** The device with this name is not wanted any more. */
  leave(name: string): void {
    for (const [key, { peer }] of this.#records) if (peer.name === name) this.#remove(key, 'left')
  }

  /** Statements may have been withdrawn or replaced: every peer is judged again, and cut where it may no longer be. */
  recheck(): void {
    for (const [key, record] of [...this.#records]) {
      const ports = this.#portsOf(record)
      if (ports === undefined) this.#remove(key, 'withdrawn')
      else if (record.peer.filter.ports !== undefined) {
        const before = record.peer.filter.ports
        record.peer.filter.setPorts(ports)
        // What is open anew hurts nobody; what was closed must end.
        if (before.some((open) => !ports.some((now) => now.from <= open.from && open.to <= now.to))) this.#cut(record.peer, ports)
      }
    }
  }

  /** The network of this end is another one. */
  moved(): void {
    for (const { peer } of this.#records.values()) peer.moved(this.#now)
  }

  /* ── The core's roads. ── */

  /** One inner packet of ours; `broker`: addresses of the broker itself. False: it is for the hub. */
  outbound(packet: Uint8Array, broker: readonly string[] = []): boolean {
    const peer = this.#peerAt(packet, 'destination')
    if (peer === undefined) {
      if (this.#options.role === 'operator' || !this.#isStrict || isOf(packet, 'destination', broker)) return false
      this.counters.count(DropReason.NoSession)
      return true
    }
    // What the hub has to carry anyway it carries once, and not sealed twice, unless nothing else would be believed.
    const isSealed = peer.isEstablished && !peer.isPlain && (!peer.leads || this.#isByUdp(peer))
    if (!isSealed && !this.#isStrictWith(peer)) return false
    if (packet.length > INNER_MTU) return this.#refuse(packet)
    const now = this.#now
    const out = borrowScratch()
    const length = peer.association.seal(packet, packet.length, out, now)
    if (length >= 0 && peer.association.endpoint) this.#transmit(out.subarray(0, length), peer.association.endpoint, peer)
    else if (length < 0) this.counters.count(length)
    returnScratch(out)
    if (length >= 0) peer.sent(now)
    return true
  }

  #isByUdp({ association }: DirectPeer): boolean {
    return association.endpoint !== undefined && !isCarried(association.endpoint)
  }

  /** Tells the netstack how large a packet may be here (RFC 8201): what the hub's path takes can be more. */
  #refuse(packet: Uint8Array): true {
    const [at, width] = packet[0]! >> 4 === 4 ? [12, 4] : [8, 16]
    const source = packet.slice(at + width, at + 2 * width)
    const destination = packet.slice(at, at + width)
    const error = new Uint8Array(PACKET_TOO_BIG_LIMIT)
    this.counters.count(DropReason.InnerTooBig)
    this.#host.netstack.input(error.subarray(0, writePacketTooBig(error, source, destination, INNER_MTU, packet)))
    return true
  }

  /** Whether an inner packet that came through the hub, from none of our own associations, may go on. */
  admits(packet: Uint8Array, broker: readonly string[] = []): boolean {
    const peer = this.#peerAt(packet, 'source')
    if ((peer === undefined && (this.#options.role === 'operator' || !this.#isStrict)) || mayBeOverlay(packet)) return true
    const mtu = peer && overlayMtuIn(packet)
    if (mtu !== undefined) {
      peer?.relayTakes(mtu, this.#now)
      return false
    }
    if (peer !== undefined && !this.#isStrictWith(peer)) {
      if (!peer.leads) peer.isPlain = true
      return true
    }
    if (isOf(packet, 'source', broker)) return true
    this.counters.count(DropReason.FilterRefused)
    // Nobody whom we know: silence would cost a person a minute. Who is known says it again, inside our association.
    const reset = peer === undefined ? resetFor(packet) : undefined
    if (reset) this.#host.relay(reset)
    return false
  }

  #isStrictWith(peer: DirectPeer): boolean {
    return peer.isStrict || this.#isStrict
  }

  /** A datagram of the overlay: the payload of inner UDP to port 4501 that came through the hub. */
  /** The broker may always close. */
  #withdrawn(payload: Uint8Array, fromAddress: string): void {
    if (payload.length === WITHDRAWAL_LENGTH && this.#host.isBroker(fromAddress)) this.#remove(toHex(payload), 'withdrawn')
    else this.counters.count(DropReason.UnknownKind)
  }

  #overlay(payload: Uint8Array, fromAddress: string): void {
    const now = this.#now
    const peer = this.#peerOf(fromAddress)
    const kind = classify(payload)
    if (kind === 'stun') this.#letter(payload, { kind: 'overlay', address: fromAddress }, now)
    else if (peer === undefined) this.counters.count(DropReason.UnknownPeer)
    else if (kind === 'wireguard-handshake') this.#control(payload, peer.overlay, now)
    else if (kind === 'wireguard-data') this.#data(payload, peer.overlay, now)
    else this.counters.count(DropReason.UnknownKind)
  }

  /**
   * A datagram has come over UDP: what it completes was completed by that way. True: it is for us alone, and done with: letters, and
   * where the hub speaks another suite all that is WireGuard's. The rest is the core's, which hands over what our associations open.
   */
  arrives(kind: DatagramKind, datagram: Uint8Array, from: Endpoint, now: Instant): boolean {
    this.#from = from
    if (kind === 'stun') {
      if (letterIn(datagram) === undefined) return false
      this.#letter(datagram, { kind: 'udp', endpoint: from }, now)
      return true
    }
    if (!this.hasOwnEndpoint || (kind !== 'wireguard-handshake' && kind !== 'wireguard-data')) return false
    if (kind === 'wireguard-data') this.#data(datagram, from, now)
    else this.#control(datagram, from, now)
    return true
  }

  #control(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    this.#from = from
    this.#endpoint.handleControl(datagram, from, now)
  }

  #data(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const out = borrowScratch()
    const endpoint = this.#endpoint
    this.#from = from
    const length = endpoint.open(datagram, from, out, now)
    if (length >= 0 && endpoint.opened) this.opened(endpoint.opened, out.subarray(0, length), from)
    returnScratch(out)
  }

  /** An association of ours has opened a datagram; `packet` is empty for a keepalive. */
  opened(association: Association | undefined, packet: Uint8Array, from: Endpoint): void {
    const peer = association && this.#records.get(association.peerKey)?.peer
    if (peer === undefined) return void this.counters.count(DropReason.UnknownPeer)
    const now = this.#now
    peer.heard(from, now)
    if (packet.length === 0) return
    const message = overlayMessageIn(packet, peer.inner)
    if (message !== undefined) {
      if (!peer.hear(message, from, now)) this.counters.count(DropReason.Malformed)
      return
    }
    const verdict = peer.filter.judge(packet, this.#options.time())
    if (verdict < 0) {
      this.counters.count(verdict)
      const reset = verdict === DropReason.FilterRefused && !peer.leads ? resetFor(packet) : undefined
      if (reset) this.outbound(reset)
      return
    }
    peer.isPlain = false
    this.#host.netstack.input(packet)
  }

  /** What the endpoint tells of associations that are ours. */
  tunnelEvent(event: TunnelEvent): void {
    const record = this.#records.get(event.association.peerKey)
    if (record === undefined || record.peer.association !== event.association) return
    const { peer } = record
    if (event.kind === 'established') {
      peer.established(this.#from, event.rekey, this.#now)
      if (!event.rekey) this.#options.event?.({ kind: 'established', name: peer.name })
    } else if (event.kind === 'unanswered' && peer.leads && event.sinceMs > 5_000) this.#again(record, this.#now)
  }

  /** What associations send: false where this one is none of ours. */
  transmits(datagram: Uint8Array, to: Endpoint, association: unknown): boolean {
    for (const { peer } of this.#records.values()) {
      if (peer.association !== association) continue
      this.#transmit(datagram, to, peer)
      return true
    }
    return false
  }

  expire(now: Instant): void {
    if (this.hasOwnEndpoint) this.#endpoint.expire(now)
    this.#watchRelay(now)
    for (const [key, record] of [...this.#records]) {
      record.introducer?.handle({ kind: 'time' }, now)
      this.#drain(record, now)
      record.peer.expire(now)
      this.#expireGrants(key, record.peer)
    }
    this.#sweep(now)
  }

  deadline(): Deadline | undefined {
    let earliest = this.hasOwnEndpoint ? this.#endpoint.deadline() : undefined
    for (const { peer, introducer } of this.#records.values()) {
      earliest = soonest(soonest(earliest, introducer?.deadline()), peer.deadline())
      const end = peer.filter.nextEnd(this.#options.time())
      if (end === undefined) continue
      // Longer than any timer of a system: it only has to be asked again.
      const left = Math.min(end - this.#options.time(), 86_400_000)
      earliest = soonest(earliest, { at: instant(this.#now + left), why: 'a grant ends' })
    }
    return this.#sweepAt === undefined ? earliest : soonest(earliest, { at: this.#sweepAt, why: 'forget silent operators' })
  }

  /** The hub came up or went. */
  relayChanged(): void {
    this.#watchRelay(this.#now)
  }

  close(): void {
    for (const key of [...this.#records.keys()]) this.#remove(key, 'left')
  }

  /* ── Introductions. ── */

  #introduce(record: Record, now: Instant): void {
    record.introducer?.handle({ kind: 'ask' }, now)
    this.#drain(record, now)
  }

  #drain(record: Record, now: Instant): void {
    const { introducer, peer } = record
    if (introducer === undefined) return
    for (let output = introducer.poll(); output !== undefined; output = introducer.poll()) {
      if (output.kind === 'write') this.#writeIntroduction(record, output.nonce)
      else if (output.kind === 'refused') this.#options.event?.({ kind: 'refused', name: peer.name, why: output.why })
      else this.#introduced(record, output.answer, now)
    }
  }

  #writeIntroduction({ peer, statements, introducer }: Record, nonce: Uint8Array): void {
    const introduction: Introduction = {
      kind: 'introduction',
      nonce,
      counter: this.#host.nextTimestamp(),
      statements,
      candidates: peer.wish === 'relay' ? [] : this.#candidates(),
    }
    const letter = this.#letters.write(peer.association.publicKey, encodeIntroduction(introduction))
    if (letter === undefined) return
    if (this.#host.relayUp()) this.#throughHub(letter, peer)
    // A hub that says nothing may be gone, though nobody has noticed yet.
    const isQuiet = !this.#host.relayUp() || (introducer?.letters ?? 0) > 2
    if (peer.wish !== 'relay' && isQuiet)
      for (const { endpoint } of peer.places.slice(0, COLD_PLACES)) this.#host.send(letter, endpoint)
  }

  #introduced(record: Record, { candidates, strict }: Answer, now: Instant): void {
    const { peer } = record
    peer.setPlaces(candidates)
    peer.isStrict = strict
    this.#options.event?.({ kind: 'introduced', name: peer.name })
    if (peer.isEstablished) return
    // The handshake takes the way that the answer has just come.
    this.#endpoint.setEndpoint(peer.association, record.answeredFrom ?? peer.overlay, now)
    this.#endpoint.initiate(peer.association, now)
  }

  /** The other end has forgotten us, or is gone: packets go in the clear of our association, and we introduce ourselves anew. */
  #again(record: Record, now: Instant): void {
    if (record.introducer === undefined || record.introducer.isAsking) return
    record.peer.association.reset()
    this.#introduce(record, now)
  }

  #letter(datagram: Uint8Array, by: Way, now: Instant): void {
    const sealed = letterIn(datagram)
    if (sealed === undefined) return void this.counters.count(DropReason.UnknownKind)
    if (!this.#strangers.take(now)) return void this.counters.count(DropReason.RateLimited)
    const letter = this.#letters.open(sealed)
    if (letter === undefined) return void this.counters.count(DropReason.Unauthentic)
    const said = readIntroduction(letter.payload)
    if (said === undefined) return void this.counters.count(DropReason.Malformed)
    if (said.kind === 'answer') this.#takeAnswer(letter.writer, said, by, now)
    else this.#receive(letter.writer, said, by, now)
  }

  #takeAnswer(writer: Uint8Array, answer: Answer, by: Way, now: Instant): void {
    const record = this.#records.get(toHex(writer))
    if (record?.introducer === undefined) return void this.counters.count(DropReason.UnknownPeer)
    if (by.kind === 'udp') record.answeredFrom = copyEndpoint(by.endpoint)
    else delete record.answeredFrom
    record.introducer.handle({ kind: 'answer', answer }, now)
    this.#drain(record, now)
  }

  /** The device's part. Nobody gets an answer who is not an operator of the fleet. */
  #receive(writer: Uint8Array, introduction: Introduction, by: Way, now: Instant): void {
    const taken = this.#reception?.take(writer, introduction) ?? DropReason.UnknownPeer
    if (typeof taken === 'number') return void this.counters.count(taken)
    const refusal = typeof taken === 'string' ? taken : this.#admit(writer, taken, introduction, by, now)
    if (refusal !== undefined) this.counters.count(DropReason.FilterRefused)
    const answer: Answer = {
      kind: 'answer',
      nonce: introduction.nonce,
      counter: this.#host.nextTimestamp(),
      candidates: refusal === undefined && introduction.candidates.length > 0 ? this.#candidates() : [],
      refusal,
      strict: this.#isStrict,
    }
    const letter = this.#letters.write(writer, encodeAnswer(answer))
    if (letter === undefined) return
    if (by.kind === 'udp') return void this.#host.send(letter, by.endpoint)
    const pair = innerPair(this.#host.netstack.addresses, [by.address])
    if (pair) this.#relayPieces(overlayPacket(pair, letter), this.#host.relayMtu())
  }

  /** Takes the operator in, or says why not. */
  #admit(
    writer: Uint8Array,
    { operator, ports }: Introduced,
    { statements, candidates }: Introduction,
    by: Way,
    now: Instant,
  ): string | undefined {
    // Through the hub an operator speaks from its own address alone (P-30).
    if (by.kind === 'overlay' && !operator.addresses.includes(by.address))
      return `${by.address} is no address of ${operator.name}.`
    const known = this.#records.get(toHex(writer))
    const record = this.#add({ ...operator, tunnelKey: writer }, statements, ports, now, known?.peer)
    if (record === undefined) return `${operator.name} and this device have no inner addresses of one family.`
    record.peer.setPlaces(candidates)
    this.#options.event?.({ kind: 'introduced', name: operator.name })
    return undefined
  }

  /* ── Peers. ── */

  #add(
    statement: PeerStatement & { tunnelKey: Uint8Array },
    statements: readonly Uint8Array[],
    ports: Introduced['ports'] | undefined,
    now: Instant,
    known: DirectPeer | undefined,
  ): Record | undefined {
    const inner = innerPair(this.#host.netstack.addresses, statement.addresses)
    if (inner === undefined) return undefined
    const key = toHex(statement.tunnelKey)
    if (known === undefined && this.#records.size >= PEER_LIMIT) this.#makeRoom()
    const overlay = known?.overlay ?? carriedBy('overlay', ++this.#overlays)
    const endpoint = this.#endpoint
    const association =
      known?.association ?? endpoint.addPeer({ publicKey: statement.tunnelKey, endpoint: overlay, steered: true }, now)
    const filter = new DirectFilter(statement.addresses, ports)
    const leads = this.#options.role === 'operator'
    const peer =
      known !== undefined && sameAddresses(known.statement, statement)
        ? known.renewed(statement, filter)
        : new DirectPeer({
            statement,
            association,
            overlay,
            inner,
            filter,
            leads,
            firstProbe: this.#number(),
            ports: this.#ports,
          })
    const introducer = leads
      ? (this.#records.get(key)?.introducer ?? new Introducer((length) => this.#host.suite.random(length)))
      : undefined
    const record: Record = { peer, statements, ...(introducer && { introducer }) }
    this.#records.set(key, record)
    this.#route()
    this.#sweepAt ??= instant(now + SWEEP_EVERY)
    return record
  }

  #remove(key: string, why: 'expired' | 'withdrawn' | 'left'): void {
    const record = this.#records.get(key)
    if (record === undefined) return
    const { peer } = record
    if (why !== 'left') this.#cut(peer, [])
    this.#records.delete(key)
    this.#endpoint.removePeer(peer.association)
    this.#route()
    this.#options.event?.({ kind: 'closed', name: peer.name, why })
  }

  /** Who has been silent for longest leaves; one with a session only where all have one. */
  #makeRoom(): void {
    const order = [...this.#records].sort(([, a], [, b]) => silence(a.peer) - silence(b.peer))
    const victim = order.find(([, { peer }]) => !peer.isEstablished) ?? order[0]
    if (victim) this.#remove(victim[0], 'left')
  }

  #sweep(now: Instant): void {
    if (this.#sweepAt === undefined || now < this.#sweepAt) return
    if (this.#options.role === 'device')
      for (const [key, { peer }] of [...this.#records]) {
        const heard = peer.association.lastAuthentic
        if (!peer.isEstablished && heard !== undefined && elapsed(heard, now) > FORGET_AFTER) this.#remove(key, 'left')
      }
    this.#sweepAt = this.#records.size === 0 ? undefined : instant(now + SWEEP_EVERY)
  }

  #expireGrants(key: string, peer: DirectPeer): void {
    const { ports } = peer.filter
    const time = this.#options.time()
    if (peer.leads) {
      if (time >= peer.statement.notAfter) this.#remove(key, 'expired')
      return
    }
    if (ports === undefined || ports.every(({ notAfter }) => time < notAfter)) return
    const left = ports.filter(({ notAfter }) => time < notAfter)
    peer.filter.setPorts(left)
    if (left.length === 0) this.#remove(key, 'expired')
    else this.#cut(peer, left)
  }

  /** The other end is told by resets, as long as there is an association to send them by. */
  #cut({ statement }: DirectPeer, open: readonly OpenPorts[]): void {
    const isOpen = (port: number): boolean => open.some(({ from, to }) => from <= port && port <= to)
    for (const address of statement.addresses) this.#host.netstack.abortFrom(address, isOpen)
  }

  /** What the statements of a peer open now; undefined where one that is needed counts no more. */
  #portsOf({ peer, statements }: Record): ReturnType<typeof portsBetween> | undefined {
    const judged = statements.flatMap((bytes) => {
      try {
        return [this.#options.judge(bytes)]
      } catch (error) {
        if (isAditError(error)) return []
        throw error
      }
    })
    const peers = judged.filter((one) => one.kind === 'peer')
    const operator = peers.find(({ role }) => role === 'operator')
    const device = peers.find(({ role }) => role === 'device')
    const grants = judged.filter((one) => one.kind === 'grant')
    const ports = operator && device ? portsBetween(operator, device, grants) : []
    const isSame = (peer.leads ? device : operator)?.id === peer.statement.id
    return ports.length === 0 || !isSame ? undefined : ports
  }

  #route(): void {
    this.#byAddress = new RouteTable()
    for (const { peer } of this.#records.values())
      for (const address of peer.statement.addresses) this.#byAddress.insert(address, peer)
  }

  /** The source lies at byte 12 of an IPv4 header and at byte 8 of an IPv6 header, the destination behind it. */
  #peerAt(packet: Uint8Array, which: 'source' | 'destination'): DirectPeer | undefined {
    if (this.#records.size === 0 || packet.length < 20) return undefined
    const four = packet[0]! >> 4 === 4
    if (!four && packet.length < 40) return undefined
    const at = which === 'source' ? (four ? 12 : 8) : four ? 16 : 24
    return this.#byAddress.lookup(packet, at, four ? 4 : 16)
  }

  #peerOf(address: string): DirectPeer | undefined {
    for (const { peer } of this.#records.values()) if (peer.statement.addresses.includes(address)) return peer
    return undefined
  }

  readonly #ports: DirectPeerPorts = {
    sealTo: (peer, packet, to, now) => {
      const out = borrowScratch()
      const length = peer.association.seal(packet, packet.length, out, now)
      if (length >= 0) this.#transmit(out.subarray(0, length), to, peer)
      else this.counters.count(length)
      returnScratch(out)
      return length >= 0
    },
    ownCandidates: () => this.#candidates(),
    relayUp: () => this.#host.relayUp(),
    uses: (peer, path, why, now) => {
      this.#endpoint.setEndpoint(peer.association, path.endpoint, now)
      this.#options.event?.({ kind: 'path', name: peer.name, path, why })
    },
    lost: (peer, now) => {
      const record = this.#records.get(peer.association.peerKey)
      if (record) this.#again(record, now)
    },
  }

  /* ── Ways. ── */

  #transmit(datagram: Uint8Array, to: Endpoint, peer: DirectPeer): void {
    if (isCarried(to)) this.#throughHub(datagram, peer)
    else this.#host.send(datagram, to)
  }

  #throughHub(payload: Uint8Array, peer: DirectPeer): void {
    this.#relayPieces(overlayPacket(peer.inner, payload), Math.min(this.#host.relayMtu(), peer.relayMtu(this.#now)))
  }

  #relayPieces(packet: Uint8Array, mtu: number): void {
    this.#fragmentId = (this.#fragmentId + 1) >>> 0
    const pieces = piecesOf(packet, mtu, this.#fragmentId)
    if (pieces.length === 0) this.counters.count(DropReason.InnerTooBig)
    for (const piece of pieces) this.#host.relay(piece)
  }

  #candidates(): Candidate[] {
    const reflexive = this.#host.reflexive()
    const seen: Candidate[] = reflexive === undefined ? [] : [{ kind: 'reflexive', endpoint: reflexive }]
    return [...this.#options.places(), ...seen]
  }

  #watchRelay(now: Instant): void {
    const up = this.#host.relayUp()
    if (up === this.#relayWasUp) return
    this.#relayWasUp = up
    for (const record of this.#records.values()) {
      record.peer.relayChanged(up, now)
      // Without the hub only places known from before are left, with it the hub is: either way it is worth a letter now.
      if (!record.peer.isEstablished || (!up && !record.peer.paths.isDirect)) this.#introduce(record, now)
    }
  }

  #makeEndpoint(): WireguardEndpoint {
    const { suite, tunnelKey, nextTimestamp } = this.#host
    return new WireguardEndpoint({
      suite,
      staticKey: tunnelKey,
      nextTimestamp,
      admit: () => undefined,
      ports: {
        transmit: (datagram, to, association) => void this.transmits(datagram, to, association),
        event: (event) => this.tunnelEvent(event),
      },
    })
  }

  get #isStrict(): boolean {
    return this.#options.strict?.() ?? false
  }

  get #now(): Instant {
    return this.#host.clock.now()
  }

  /** A random 31-bit number. */
  #number(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.#host.suite.random(4)
    return ((a & 0x7f) << 24) | (b << 16) | (c << 8) | d
  }
}

function isOf(packet: Uint8Array, which: 'source' | 'destination', addresses: readonly string[]): boolean {
  const [at, width] = packet[0]! >> 4 === 4 ? [12, 4] : [8, 16]
  return addresses.includes(formatAddress(packet, which === 'source' ? at : at + width, width))
}

/** The reset that answers a packet of TCP; undefined of any other. */
function resetFor(bytes: Uint8Array): Uint8Array | undefined {
  const packet = new InnerPacket()
  const out = new Uint8Array(resetLimit)
  const length = packet.read(bytes, bytes.length) < 0 ? 0 : resetInAnswer(packet, out)
  return length === 0 ? undefined : out.subarray(0, length)
}

/** How a letter came. */
type Way = { kind: 'overlay'; address: string } | { kind: 'udp'; endpoint: Endpoint }

const silence = (peer: DirectPeer): number => peer.association.lastAuthentic ?? Number.NEGATIVE_INFINITY

const sameAddresses = (a: PeerStatement, b: PeerStatement): boolean => a.addresses.join() === b.addresses.join()

const sameStatements = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((one, i) => Buffer.compare(one, b[i]!) === 0)
