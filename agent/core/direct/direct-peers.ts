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
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import { type Deadline, soonest } from '#shared/machine.ts'
import type { Candidate } from '#shared/nat/candidate.ts'
import { type Instant, wallTime } from '#shared/time/instant.ts'
import type { Association, TunnelEvent } from '#shared/tunnel/association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import type { DatagramKind } from '#shared/wire/demux.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { WITHDRAWAL_LENGTH, WITHDRAWAL_PORT } from '#shared/wire/withdrawal-notice.ts'
import { Arrivals } from './arrivals.ts'
import { type DirectHost, type DirectOptions, ownCandidates, wayTo } from './direct-host.ts'
import type { DirectPeer, DirectPeerPorts, PathWish } from './direct-peer.ts'
import { type DirectStatus, directStatus } from './direct-status.ts'
import { type DirectTarget, sameStatements } from './direct-target.ts'
import { GrantWatch } from './grant-watch.ts'
import { InnerRoad } from './inner-road.ts'
import { Introductions } from './introductions.ts'
import { OVERLAY_PORT } from './overlay-packet.ts'
import { OverlayRoad } from './overlay-road.ts'
import { ownEndpoint } from './own-endpoint.ts'
import { PeerRegister } from './peer-register.ts'

export class DirectPeers {
  readonly counters = new DropCounters()
  /** Whether WireGuard's datagrams are for us alone, since the hub speaks another suite. */
  readonly hasOwnEndpoint: boolean
  readonly #options: DirectOptions
  readonly #host: DirectHost
  /** Holds the associations. */
  readonly #endpoint: WireguardEndpoint
  readonly #register: PeerRegister
  readonly #road: OverlayRoad
  readonly #inner: InnerRoad
  readonly #introductions: Introductions
  readonly #grants: GrantWatch
  readonly #arrivals: Arrivals
  /** A dead way was left for another: what waits for timeouts has its chance now. */
  #isRerouted = false
  #relayWasUp = true

  constructor(options: DirectOptions, host: DirectHost) {
    const { counters } = this
    this.#options = options
    this.#host = host
    const { hubEndpoint } = host
    const road = new OverlayRoad(host, counters)
    const endpoint = hubEndpoint instanceof WireguardEndpoint ? hubEndpoint : ownEndpoint(host, this)
    const register = new PeerRegister(options, host, endpoint, this.#ports)
    this.#road = road
    this.#endpoint = endpoint
    this.#register = register
    this.hasOwnEndpoint = endpoint !== hubEndpoint
    this.#inner = new InnerRoad({ options, host, register, road, counters })
    const introductions = new Introductions({ options, host, endpoint, register, road, counters })
    const opened: DirectPeers['opened'] = (association, packet, from) => this.opened(association, packet, from)
    this.#introductions = introductions
    this.#arrivals = new Arrivals({ endpoint, isOwnEndpoint: this.hasOwnEndpoint, register, introductions, counters, opened })
    this.#grants = new GrantWatch(options, register)
    host.netstack.bindUdp({ port: OVERLAY_PORT }, (payload, { address }) => this.#arrivals.byHub(payload, address, this.#now))
    host.netstack.bindUdp({ port: WITHDRAWAL_PORT }, (payload, { address }) => this.#withdrawn(payload, address))
  }

  get size(): number {
    return this.#register.size
  }

  *peers(): Iterable<DirectPeer> {
    for (const { peer } of this.#register.all()) yield peer
  }

  /** Of the other end with this name. */
  status(name: string): DirectStatus | undefined {
    const record = this.#register.named(name)
    if (record === undefined) return undefined
    const { peer, introducer } = record
    const [ownPlaces, isStrict] = [this.#options.places(), this.#inner.isStrictWith(peer)]
    return directStatus(peer, introducer, this.#host, { ownPlaces, isStrict, now: this.#now })
  }

  /* ── The operator's wishes. ── */

  /** From now on packets to the device take an association with it, as soon as there is one; `places`: where it was met before. */
  seek(target: DirectTarget, wish: PathWish = 'auto', places: readonly Candidate[] = []): DirectPeer | undefined {
    const now = this.#now
    const known = this.#register.get(target.device.tunnelKey)
    if (known !== undefined && sameStatements(known.statements, target.statements)) {
      const before = known.peer.wish
      known.peer.wish = wish
      // A direct way that is in use is given up by forgetting it; one that was not wished for is looked for now.
      if (wish === 'relay' && known.peer.paths.isDirect) known.peer.useRelay(now)
      else if (before === 'relay' && wish !== 'relay') known.peer.beginPunch(now)
      if (!known.peer.isEstablished && !known.introducer?.isAsking) this.#introductions.begin(known, now)
      return known.peer
    }
    const { device: statement, statements } = target
    // Nobody else may be able to say so: the other end's resets may not come through any more.
    const until = wallTime(Math.max(...target.ports.map(({ notAfter }) => notAfter)))
    const record = this.#register.add({ statement, statements, ports: undefined, until }, now)
    if (record === undefined) return undefined
    record.peer.wish = wish
    record.peer.setPlaces(known?.peer.places.length ? known.peer.places : places)
    this.#introductions.begin(record, now)
    this.#host.wake()
    return record.peer
  }

  /** The device with this name is not wanted any more. `withdrawn`: its connections end with it. */
  leave(name: string, why: 'left' | 'withdrawn' = 'left'): void {
    for (const { peer } of [...this.#register.all()]) if (peer.name === name) this.#register.remove(peer.association.peerKey, why)
  }

  /** Statements may have been withdrawn or replaced: every peer is judged again, and cut where it may no longer be. */
  recheck(): void {
    this.#grants.recheck()
    this.#host.rerouted()
  }

  /** The network of this end is another one. */
  moved(): void {
    for (const { peer } of this.#register.all()) peer.moved(this.#now)
  }

  /* ── The core's roads. ── */

  /** One inner packet of ours; `broker`: addresses of the broker itself. False: it is for the hub. */
  outbound(packet: Uint8Array, broker: readonly string[] = []): boolean {
    return this.#inner.outbound(packet, broker)
  }

  /** The association that takes packets as this one directly, without the hub; undefined: none does. */
  shortcut(packet: Uint8Array): Association | undefined {
    return this.#inner.shortcut(packet)
  }

  /** Whether nobody but the broker is heard through the hub, and he only in answer. */
  get isClosedToHub(): boolean {
    return this.#inner.isClosedToHub
  }

  /** Whether somebody with an association has shown us grants by which this inner address may open the TCP port here. */
  opens(from: string, port: number): boolean {
    return this.#register.withAddress(from)?.filter.opens(port, this.#options.time()) ?? false
  }

  /** Holds the associations. */
  get endpoint(): WireguardEndpoint {
    return this.#endpoint
  }

  /** Whether an inner packet that came through the hub, from none of our own associations, may go on. */
  admits(packet: Uint8Array, broker: readonly string[] = []): boolean {
    return this.#inner.admits(packet, broker)
  }

  /**
   * A datagram has come over UDP. True: it is for us alone, and done with. The rest is the core's, which hands over what our associations
   * open.
   */
  arrives(kind: DatagramKind, datagram: Uint8Array, from: Endpoint, now: Instant): boolean {
    return this.#arrivals.byUdp(kind, datagram, from, now)
  }

  /** Datagrams have come from there, by the fast road: what they complete was completed by that way. */
  hears(from: Endpoint): void {
    this.#arrivals.from = from
  }

  /** An association of ours has opened a datagram; `packet` is empty for a keepalive. */
  opened(association: Association | undefined, packet: Uint8Array, from: Endpoint): void {
    const peer = association && this.#register.get(association.peerKey)?.peer
    if (peer === undefined) this.counters.count(DropReason.UnknownPeer)
    else this.#inner.opened(peer, packet, from, this.#now)
  }

  /** The data lane has sent packets of an association of ours, the largest so many bytes long. */
  sent(association: Association, largest: number): void {
    this.#register.get(association.peerKey)?.peer.sent(largest, this.#now)
  }

  /** What the endpoint tells of associations that are ours. */
  tunnelEvent(event: TunnelEvent): void {
    const record = this.#register.get(event.association.peerKey)
    if (record === undefined || record.peer.association !== event.association) return
    const { peer } = record
    if (event.kind === 'established') {
      peer.established(this.#arrivals.from, event.rekey, this.#now)
      if (!event.rekey) this.#options.event?.({ kind: 'established', name: peer.name })
    } else if (event.kind === 'unanswered' && peer.leads && event.sinceMs > 5_000) this.#introductions.again(record, this.#now)
  }

  /** What associations send: false where this one is none of ours. */
  transmits(datagram: Uint8Array, to: Endpoint, association: unknown): boolean {
    const record = this.#register.withAssociation(association)
    if (record) this.#road.transmit(datagram, to, record.peer)
    return record !== undefined
  }

  expire(now: Instant): void {
    if (this.#isRerouted) {
      this.#isRerouted = false
      this.#host.netstack.hasten()
    }
    if (this.hasOwnEndpoint) this.#endpoint.expire(now)
    this.#watchRelay(now)
    for (const record of [...this.#register.all()]) {
      this.#introductions.expire(record, now)
      record.peer.expire(now)
      this.#grants.expire(record)
    }
    this.#register.expire(now)
  }

  deadline(): Deadline | undefined {
    if (this.#isRerouted) return { at: this.#now, why: 'what was lost with a way is sent by another' }
    let earliest = this.hasOwnEndpoint ? this.#endpoint.deadline() : undefined
    for (const record of this.#register.all()) {
      earliest = soonest(soonest(earliest, record.introducer?.deadline()), record.peer.deadline())
      earliest = soonest(earliest, this.#grants.deadline(record, this.#now))
    }
    return soonest(earliest, this.#register.deadline())
  }

  /** The hub came up or went. */
  relayChanged(): void {
    this.#watchRelay(this.#now)
  }

  close(): void {
    for (const { peer } of [...this.#register.all()]) this.#register.remove(peer.association.peerKey, 'left')
  }

  /** The broker may always close. */
  #withdrawn(payload: Uint8Array, fromAddress: string): void {
    if (payload.length === WITHDRAWAL_LENGTH && this.#host.isBroker(fromAddress))
      this.#register.remove(toHex(payload), 'withdrawn')
    else this.counters.count(DropReason.UnknownKind)
  }

  #watchRelay(now: Instant): void {
    const up = this.#host.relayUp()
    if (up === this.#relayWasUp) return
    this.#relayWasUp = up
    for (const record of this.#register.all()) {
      record.peer.relayChanged(up, now)
      // Without the hub only places known from before are left, with it the hub is: either way it is worth a letter now.
      if (!record.peer.isEstablished || (!up && !record.peer.paths.isDirect)) this.#introductions.begin(record, now)
    }
  }

  readonly #ports: DirectPeerPorts = {
    sealTo: (peer, packet, to, now) => this.#road.seal(peer, packet, to, now),
    ownCandidates: () => ownCandidates(this.#options, this.#host),
    wayTo: (place) => wayTo(this.#options, place),
    relayUp: () => this.#host.relayUp(),
    uses: (peer, path, why, now) => {
      this.#endpoint.setEndpoint(peer.association, path.endpoint, now)
      this.#host.rerouted()
      // Not from within a stream's own sending, which may have shown that the way is dead.
      this.#isRerouted ||= why === 'silent' || why === 'too-small'
      this.#options.event?.({ kind: 'path', name: peer.name, path, why })
    },
    lost: (peer, now) => {
      const record = this.#register.get(peer.association.peerKey)
      if (record) this.#introductions.again(record, now)
    },
  }

  get #now(): Instant {
    return this.#host.clock.now()
  }
}
