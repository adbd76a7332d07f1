import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Association, SuiteName } from '#shared/tunnel/association.ts'
import type { DataLane, LaneHeard, LaneSent, LaneSession } from '#shared/tunnel/data-lane.ts'
import { SharedNumber } from '#shared/tunnel/shared-number.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { LaneBoard } from './lane-board.ts'
import type { LaneKeys } from './lane-keys.ts'
import type { FlowPass, FromLane, LaneStart, SessionInstall, ToLane } from './lane-messages.ts'
import { LaneSeat, type LaneThread } from './lane-seat.ts'
import { Slots } from './slots.ts'
import { laneOfDatagram, laneOfNumber, laneOfPeer } from './steering.ts'
import type { UdpDescriptors } from './udp-port.ts'

/** What the lane's owner is told. */
export interface LaneEvents {
  /** What the lane has no session for. */
  datagram(datagram: Uint8Array, from: Endpoint): void
  heard(news: LaneHeard): void
  sent(news: LaneSent): void
  /** An inner packet, as it was opened. */
  packet(packet: Uint8Array, suite: SuiteName, local: number, from: Endpoint): void
  /** A packet of this host, out of the TUN. */
  fromTun(packet: Uint8Array): void
  /** Sealed, for an endpoint that is carried. */
  carried(datagram: Uint8Array, to: Endpoint): void
  /** Everything of this turn has been told. */
  settled(): void
}

export interface LaneClientOptions {
  readonly board: LaneBoard
  readonly keys: LaneKeys
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  /** One for each lane, in the order of their numbers; 16 at most. */
  readonly starts: readonly LaneStart[]
  /** Starts a thread. `failed`: it has ended without having been asked. */
  spawn(start: LaneStart, take: (news: FromLane) => void, failed: (error: unknown) => void): LaneThread
}

/** A key block whose session was released. */
interface Leaving {
  readonly slot: number
  /** Lanes that may still read it, a bit each. */
  readers: number
}

/**
 * The main thread's half of the lanes: knows all that they were told, so that after a fault another thread can go on where the first one ended:
 * sessions keep their keys and counters, and take no number again. With several lanes it is here that it is known which of them is told what:
 * each has every session to seal with, but only its own to open; of flows it has those whose packets it may meet.
 */
export class LaneClient implements DataLane {
  readonly #options: LaneClientOptions
  readonly #seats: readonly LaneSeat[]
  /** As the lane is told that opens it. */
  readonly #sessions = new Map<string, SessionInstall>()
  readonly #routes = new Map<number, ToLane>()
  readonly #rooms = new Map<number, ToLane>()
  readonly #flows = new Map<number, readonly FlowPass[]>()
  readonly #slots: Slots
  readonly #leaving = new Map<number, Leaving>()
  #events: LaneEvents | undefined
  #closed = false

  constructor(options: LaneClientOptions) {
    const { clock, timers, log, spawn, starts } = options
    this.#options = options
    this.#slots = new Slots(options.board.size.sessions)
    this.#seats = starts.map(
      (start, lane) =>
        new LaneSeat({
          ...{ clock, timers, log, start, spawn },
          take: (news) => this.#take(news, lane),
          vacated: () => this.#vacated(lane),
          told: () => this.#told(lane),
        }),
    )
  }

  /** Starts the first threads; resolves to why one could not begin, or to undefined. What they read before `begin` is lost, as on the way. */
  async prove(): Promise<unknown> {
    const faults = await Promise.all(this.#seats.map((seat) => seat.prove()))
    return faults.find((fault) => fault !== undefined)
  }

  /** Starts threads where they do not run, and goes on from what has been installed. */
  begin(events: LaneEvents): void {
    this.#events = events
    for (const seat of this.#seats) seat.begin()
  }

  /** How often a thread had to be replaced. */
  get restarts(): number {
    return this.#seats.reduce((sum, { restarts }) => sum + restarts, 0)
  }

  get installed(): number {
    return this.#sessions.size
  }

  /** How many lanes there are. */
  get lanes(): number {
    return this.#seats.length
  }

  /** The lane that is to open what comes from there. */
  laneOf({ peerKey }: Association): number {
    return laneOfPeer(peerKey, this.lanes)
  }

  suits(local: number, peerKey: string): boolean {
    return laneOfNumber(local, this.lanes) === laneOfPeer(peerKey, this.lanes)
  }

  install(session: LaneSession): SharedNumber | undefined {
    const { board, keys } = this.#options
    const slot = this.#slots.take()
    if (slot === undefined) return undefined
    const block = keys.keep(session)
    if (block === undefined) {
      this.#slots.give(slot)
      return undefined
    }
    const { suite, local, remote, algorithm, esn, innerMtu, expiresAt } = session
    board.beginSession(slot, session.firstNumber)
    const install: SessionInstall = {
      ...{ kind: 'install', suite, local, remote, algorithm, esn, innerMtu, expiresAt, slot, opens: true },
      association: session.association.id,
      keys: block,
    }
    this.#sessions.set(keyOf(suite, local), install)
    for (const [lane, seat] of this.#seats.entries()) seat.post(this.#installAt(lane, install))
    // A lane forgets associations of which nothing is left.
    const room = this.#rooms.get(session.association.id)
    if (room !== undefined) this.#post(room)
    if (session.otherTraffic) this.#forgetFlowsOf(session.association.id)
    return new SharedNumber(board.words, board.counterAt(slot))
  }

  release(local: number, suite: SuiteName): void {
    const key = keyOf(suite, local)
    const install = this.#sessions.get(key)
    if (install === undefined) return
    this.#sessions.delete(key)
    const route = this.#routes.get(install.association)
    if (route?.kind === 'route' && route.local === local && route.suite === suite) this.#routes.delete(install.association)
    this.#leaving.set(install.keys, { slot: install.slot, readers: 2 ** this.lanes - 1 })
    this.#post({ kind: 'release', suite, local, keys: install.keys })
  }

  route(association: Association, local: number | undefined, to: Endpoint | undefined): void {
    const { id, suite } = association
    const message: ToLane = { kind: 'route', association: id, suite, local, to: to && { address: to.address, port: to.port } }
    if (local === undefined) this.#routes.delete(id)
    else this.#routes.set(id, message)
    this.#post(message)
  }

  receive(datagram: Uint8Array, from: Endpoint): void {
    const seat = this.#seats[laneOfDatagram(datagram, this.lanes)]!
    seat.post({ kind: 'datagram', datagram, from: { address: from.address, port: from.port } })
  }

  /** Packets to `association` longer than this come up, Infinity: none. Bytes. */
  setRoom(association: Association, bytes: number): void {
    const message: ToLane = { kind: 'room', association: association.id, bytes }
    if (bytes === Number.POSITIVE_INFINITY) this.#rooms.delete(association.id)
    else this.#rooms.set(association.id, message)
    this.#post(message)
  }

  /** Lets a flow pass; all of `flows` have one slot. */
  pass(flows: readonly FlowPass[]): void {
    this.#flows.set(flows[0]!.slot, flows)
    for (const [lane, seat] of this.#seats.entries()) {
      const met = flowsMet(flows, lane)
      if (met.length > 0) seat.post({ kind: 'pass', flows: met })
    }
  }

  forget(slot: number): void {
    const flows = this.#flows.get(slot)
    if (flows === undefined) return
    this.#flows.delete(slot)
    for (const [lane, seat] of this.#seats.entries()) if (flowsMet(flows, lane).length > 0) seat.post({ kind: 'forget', slot })
  }

  /** What was let pass for the association is asked about anew. */
  #forgetFlowsOf(association: number): void {
    for (const [slot, [flow]] of this.#flows)
      if (flow !== undefined && (flow.from === association || flow.to === association)) this.forget(slot)
  }

  /** The lanes' sockets are others from now on: those of each, in the order of their numbers. */
  setSockets(descriptors: readonly UdpDescriptors[]): void {
    for (const [lane, { v4, v6 }] of descriptors.entries()) this.#seats[lane]!.setSockets(v4, v6)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#seats.map((seat) => seat.close()))
    const { keys } = this.#options
    for (const install of this.#sessions.values()) keys.wipe(install.keys)
    for (const block of this.#leaving.keys()) keys.wipe(block)
    this.#sessions.clear()
    this.#leaving.clear()
  }

  #post(message: ToLane): void {
    for (const seat of this.#seats) seat.post(message)
  }

  #installAt(lane: number, install: SessionInstall): SessionInstall {
    return laneOfNumber(install.local, this.lanes) === lane ? install : { ...install, opens: false }
  }

  #take(news: FromLane, lane: number): void {
    for (const block of news.unread) this.#unread(block, lane)
    const events = this.#events
    if (this.#closed || events === undefined) return
    for (const told of news.news) {
      if (told.kind === 'heard') events.heard(told)
      else events.sent(told)
    }
    for (const { datagram, from } of news.raw) events.datagram(datagram, from)
    for (const { packet, session } of news.packets) {
      if (session === undefined) events.fromTun(packet)
      else events.packet(packet, session.suite, session.local, session.from)
    }
    for (const { datagram, from } of news.carried) events.carried(datagram, from)
    events.settled()
  }

  #unread(block: number, lane: number): void {
    const leaving = this.#leaving.get(block)
    if (leaving === undefined) return
    leaving.readers &= ~(1 << lane)
    if (leaving.readers !== 0) return
    this.#leaving.delete(block)
    this.#options.keys.wipe(block)
    this.#slots.give(leaving.slot)
  }

  #vacated(lane: number): void {
    for (const block of [...this.#leaving.keys()]) this.#unread(block, lane)
  }

  *#told(lane: number): Iterable<ToLane> {
    for (const install of this.#sessions.values()) yield this.#installAt(lane, install)
    yield* this.#routes.values()
    yield* this.#rooms.values()
    for (const flows of this.#flows.values()) {
      const met = flowsMet(flows, lane)
      if (met.length > 0) yield { kind: 'pass', flows: met }
    }
  }
}

const keyOf = (suite: SuiteName, local: number): string => `${suite}/${local}`

/** Those of a slot whose packets the lane may meet. */
function flowsMet(flows: readonly FlowPass[], lane: number): readonly FlowPass[] {
  const isMet = (flow: FlowPass): boolean => flow.lane === undefined || flow.lane === lane
  return flows.every(isMet) ? flows : flows.filter(isMet)
}
