/**
 * A lane: the data half of sessions that the main thread has handed over, and the road of flows that it has let pass. What it does not
 * know goes up to the main thread and takes the ordinary road there (shared/dataplane), with the ordinary drop reasons. Sessions that another
 * lane opens it only seals with.
 *
 *   datagrams in:  session by receiver index or SPI -> window, open, mark -> plain? flow known? -> TUN | hop limit, seal, batch
 *   TUN out:       plain? flow known? -> segment -> seal, batch
 *
 * It is given memory, cipher contexts and batches; what waits, and for what, is lane-worker.ts's affair.
 */
import { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import { Segmenter } from '#shared/dataplane/batch/segmenter.ts'
import { virtioNetHeader } from '#shared/dataplane/batch/virtio-net-header.ts'
import { spendHopAt } from '#shared/dataplane/hop-limit.ts'
import { Protocol } from '#shared/dataplane/inner-packet.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { DATA_MIN_LENGTH, ESP_MIN_LENGTH } from '#shared/wire/demux.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { DATA_TYPE } from '#shared/wire/wireguard-data.ts'
import type { DatagramSource } from './datagram-source.ts'
import { type HeldSession, SEALED_AT } from './held-session.ts'
import { FlowNumber, type LaneBoard, Traffic } from './lane-board.ts'
import { LaneFlow, LaneFlows } from './lane-flows.ts'
import type { FlowPass } from './lane-messages.ts'
import type { LaneNews } from './lane-news.ts'
import { type LanePeer, LanePeers } from './lane-peers.ts'
import type { NativeMemory } from './memory.ts'
import type { OutBatches } from './out-batches.ts'
import type { TunWriter } from './tun-writer.ts'

/** Packets of one TUN super-packet or fewer that wait for the main thread's word at a time. */
const UP_PER_READ = 8

export interface LaneParts {
  readonly memory: NativeMemory
  readonly board: LaneBoard
  readonly news: LaneNews
  readonly out: OutBatches
  /** Absent where there is no TUN. */
  readonly tun: TunWriter | undefined
}

export class Lane {
  readonly peers = new LanePeers()
  readonly flows = new LaneFlows()
  readonly #noise = new Map<number, HeldSession>()
  readonly #esp = new Map<number, HeldSession>()
  readonly #memory: NativeMemory
  readonly #board: LaneBoard
  readonly #news: LaneNews
  readonly #out: OutBatches
  readonly #tun: TunWriter | undefined
  readonly #packet = new PlainPacket()
  readonly #segmenter: Segmenter
  /** Where an oddly cut segment is copied to. */
  readonly #spareAt: number
  #now = 0
  /** Of the datagram under way. */
  #from: DatagramSource | undefined

  constructor({ memory, board, news, out, tun }: LaneParts) {
    this.#memory = memory
    this.#board = board
    this.#news = news
    this.#out = out
    this.#tun = tun
    this.#segmenter = new Segmenter(memory)
    this.#spareAt = memory.allocate(66_048)
  }

  /* ── What the main thread says. ── */

  session(suite: SuiteName, local: number): HeldSession | undefined {
    return (suite === 'noise' ? this.#noise : this.#esp).get(local | 0)
  }

  hold(session: HeldSession): void {
    const table = session.suite === 'noise' ? this.#noise : this.#esp
    table.set(session.local | 0, session)
  }

  /** Returns it, for its memory to be used again. */
  release(suite: SuiteName, local: number): HeldSession | undefined {
    const table = suite === 'noise' ? this.#noise : this.#esp
    const session = table.get(local | 0)
    if (session === undefined) return undefined
    table.delete(local | 0)
    this.#news.forget(session)
    if (session.peer.session === session) this.peers.stopSending(session.peer)
    session.wipe()
    this.peers.left(session.peer)
    return session
  }

  route(association: number, session: HeldSession | undefined, address: Uint8Array, carried: Endpoint | undefined): void {
    const peer = session?.peer ?? this.peers.get(association)
    if (peer === undefined) return
    if (session === undefined) return void this.peers.stopSending(peer)
    peer.session = session
    peer.address = address
    peer.carried = carried
    peer.refusesBatches = false
  }

  pass(flow: FlowPass): void {
    const from = flow.from === 0 ? undefined : this.peers.used(flow.from)
    const to = flow.to === 0 ? undefined : this.peers.used(flow.to)
    this.flows.add(new LaneFlow(flow, from, to))
  }

  forget(slot: number): void {
    for (const { from, to } of this.flows.remove(slot)) {
      if (from !== undefined) this.peers.left(from)
      if (to !== undefined) this.peers.left(to)
    }
  }

  setRoom(association: number, bytes: number): void {
    const peer = this.peers.get(association)
    if (peer !== undefined) peer.room = bytes
  }

  /* ── A turn. ── */

  begin(now: number): void {
    this.#now = now
  }

  /** What was gathered for the TUN leaves: packets are still where they were opened, and those buffers are wanted. */
  flushTun(): void {
    this.#tun?.flush()
  }

  /** Everything else that was gathered leaves. */
  end(): void {
    this.#out.flush()
    this.#news.tell(this.#now)
  }

  /** One datagram at `at`. */
  datagram(at: number, length: number, from: DatagramSource): void {
    this.#from = from
    const { bytes } = this.#memory
    const { traffic } = this.#board
    traffic[Traffic.received] = traffic[Traffic.received]! + 1
    const session = this.#sessionOf(at, length)
    if (session === undefined) {
      traffic[Traffic.raised] = traffic[Traffic.raised]! + 1
      return void this.#news.raw(bytes.slice(at, at + length), from.endpoint)
    }
    const opened = session.open(at, length, this.#now)
    if (opened < 0) return void this.#board.count(opened)
    const packet = this.#packet
    const isPlain = opened > 0 && packet.read(this.#memory, at + SEALED_AT, opened)
    this.#heard(session, length, isPlain ? packet.length : opened, from)
    if (isPlain) this.#inner(session, at + SEALED_AT, opened)
    else if (opened > 0) this.#up(at + SEALED_AT, opened, session)
  }

  /** The same of a datagram that the main thread has handed over: without a session it is dropped, since nobody else would take it. */
  handed(at: number, length: number, from: DatagramSource): void {
    if (this.#sessionOf(at, length) === undefined) this.#board.count(DropReason.UnknownReceiver)
    else this.datagram(at, length, from)
  }

  /** What was read from the TUN at `at`, virtio header first. */
  fromTun(at: number, length: number): void {
    const packet = this.#packet
    const start = at + virtioNetHeader
    const flow = packet.read(this.#memory, start, length - virtioNetHeader) ? this.#flow(packet, undefined) : undefined
    const peer = flow?.to
    const count = this.#segmenter.begin(at, length)
    if (count < 0) return void this.#board.count(count)
    if (flow === undefined || peer === undefined || !peer.sends) return void this.#upFromTun()
    this.#used(flow, packet)
    const session = peer.session!
    let done = 0
    for (let size = this.#segmenter.next(this.#spareAt); size > 0; size = this.#segmenter.next(this.#spareAt)) {
      if (size > peer.room) {
        // The main thread tells the kernel what fits, by one of them; the kernel sends them all again.
        this.#up(this.#segmenter.packetAt, size)
        for (let left = done + 1; left < count; left++) this.#board.count(DropReason.InnerTooBig)
        break
      }
      if (!this.#seal(peer, session, this.#segmenter.packetAt, size)) break
      done++
    }
    if (done > 0) this.#news.note(session, false, this.#now)
  }

  /* ── The road of an opened packet. ── */

  #sessionOf(at: number, length: number): HeldSession | undefined {
    const { bytes, view } = this.#memory
    let session: HeldSession | undefined
    if (length >= DATA_MIN_LENGTH && view.getUint32(at, true) === DATA_TYPE)
      session = this.#noise.get(view.getInt32(at + 4, true))
    else if (length >= ESP_MIN_LENGTH && bytes[at]! >= 0x80) session = this.#esp.get(view.getInt32(at))
    return session?.opens ? session : undefined
  }

  #heard(session: HeldSession, outer: number, inner: number, from: DatagramSource): void {
    const { heard } = session
    if (session.newest && session.isElsewhere(from)) {
      // What was counted so far came from the place before.
      this.#news.settle(session)
      session.move(from)
      this.#news.hurry()
    }
    if (session.newest) session.heardNewest++
    heard.add(outer, inner)
    this.#news.note(session, true, this.#now)
  }

  /** The packet that was read at `at`, `length` bytes with its padding. */
  #inner(session: HeldSession, at: number, length: number): void {
    const packet = this.#packet
    const flow = this.#flow(packet, session.peer)
    if (flow === undefined) return void this.#up(at, length, session)
    const { to } = flow
    if (to === undefined) {
      this.#used(flow, packet)
      const { traffic } = this.#board
      traffic[Traffic.delivered] = traffic[Traffic.delivered]! + 1
      return void this.#tun!.write(flow, packet, at)
    }
    if (!to.sends || packet.length > to.room || packet.hopLimit <= 1) return void this.#up(at, length, session)
    this.#used(flow, packet)
    spendHopAt(this.#memory.bytes, at)
    if (!this.#seal(to, to.session!, at, packet.length)) return
    const { traffic } = this.#board
    traffic[Traffic.relayed] = traffic[Traffic.relayed]! + 1
    this.#news.note(to.session!, false, this.#now)
  }

  #flow(packet: PlainPacket, from: LanePeer | undefined): LaneFlow | undefined {
    const flow = this.flows.find(packet, from)
    if (flow === undefined || this.#now >= flow.until) return undefined
    return flow.to === undefined && this.#tun === undefined ? undefined : flow
  }

  #used(flow: LaneFlow, packet: PlainPacket): void {
    const { flows } = this.#board
    const at = this.#board.flowAt(flow.slot)
    const { direction } = flow
    flows[at + FlowNumber.lastSeen] = this.#now
    flows[at + FlowNumber.bytes + direction] = flows[at + FlowNumber.bytes + direction]! + packet.length
    if (packet.protocol !== Protocol.Tcp) return
    const { view } = this.#memory
    const tcp = packet.payloadAt - packet.transportLength
    const payload = packet.length - packet.headerLength - packet.transportLength
    const end = (view.getInt32(tcp + 4) + payload) | 0
    const acknowledgement = view.getInt32(tcp + 8)
    const isFirst = flows[at + FlowNumber.said + direction] === 0
    // Numbers only grow: a packet that was overtaken says nothing new.
    if (isFirst || ((end - flows[at + FlowNumber.end + direction]!) | 0) > 0) flows[at + FlowNumber.end + direction] = end
    if (isFirst || ((acknowledgement - flows[at + FlowNumber.acknowledgement + direction]!) | 0) > 0)
      flows[at + FlowNumber.acknowledgement + direction] = acknowledgement
    if (isFirst) flows[at + FlowNumber.said + direction] = 1
  }

  /** Seals the packet at `at` into the batch of its peer. */
  #seal(peer: LanePeer, session: HeldSession, at: number, length: number): boolean {
    const size = session.sealedLength(length)
    const sealed = session.seal(at, length, this.#out.place(peer, size))
    if (sealed < 0) {
      this.#board.count(sealed)
      return false
    }
    this.#out.add(sealed)
    session.sent.add(sealed, length)
    return true
  }

  /* ── Up. ── */

  #upFromTun(): void {
    let left = UP_PER_READ
    for (let size = this.#segmenter.next(this.#spareAt); size > 0; size = this.#segmenter.next(this.#spareAt)) {
      if (left-- > 0) this.#up(this.#segmenter.packetAt, size)
      else this.#board.count(DropReason.QueueFull)
    }
  }

  #up(at: number, length: number, session?: HeldSession): void {
    const packet = this.#memory.bytes.slice(at, at + length)
    if (session === undefined || this.#from === undefined) this.#news.ownPacket(packet)
    else this.#news.packet(packet, session, this.#from.endpoint)
  }
}
