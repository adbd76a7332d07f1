/**
 * A lane's thread: waits in poll(2) for its sockets, its TUN and the main thread's word, and lets the lane work on what has come, one turn
 * after the other. It never returns to an event loop: messages are taken where the eventfd says that there are some.
 */
import type { OpensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { virtioNetHeader } from '#shared/dataplane/batch/virtio-net-header.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import { AddressScratch } from './address-scratch.ts'
import type { DatagramSource } from './datagram-source.ts'
import { EventFd } from './event-fd.ts'
import { HeldSession, SESSION_SCRATCH } from './held-session.ts'
import { IoVectors } from './io-vectors.ts'
import { Lane } from './lane.ts'
import { LaneBoard } from './lane-board.ts'
import { LaneCiphers } from './lane-ciphers.ts'
import type { FromLane, LaneStart, SessionInstall, ToLane } from './lane-messages.ts'
import { LaneNews } from './lane-news.ts'
import { Libc, POLLIN } from './libc.ts'
import type { NativeMemory } from './memory.ts'
import { monotonicMs } from './monotonic.ts'
import type { Native } from './native.ts'
import { OutBatches } from './out-batches.ts'
import { TunWriter } from './tun-writer.ts'
import { UdpReceiver } from './udp-receiver.ts'

/** A super-packet, its virtio header, and room for what is written behind its end. */
const TUN_BUFFER = 65_536 + 64
/** Super-packets that are read from the TUN in one turn. */
const TUN_READS = 16
/** A datagram that the main thread hands over. */
const LONGEST_DATAGRAM = 9_216
/** Pieces of a super-packet, and its header. */
const VECTORS = 66

/** Places of what is watched. */
const Watched = { wake: 0, udp4: 1, udp6: 2, tun: 3 } as const
const WATCHED = 4

export interface LaneLoopOptions {
  readonly native: Native
  readonly memory: NativeMemory
  readonly crypto: OpensslCrypto
  readonly start: LaneStart
  post(news: FromLane): void
  /** The next message, if one waits. */
  next(): ToLane | undefined
}

export class LaneLoop {
  readonly #memory: NativeMemory
  readonly #libc: Libc
  readonly #ciphers: LaneCiphers
  readonly #start: LaneStart
  readonly #board: LaneBoard
  readonly #addresses: AddressScratch
  readonly #news: LaneNews
  readonly #lane: Lane
  readonly #wake: EventFd
  readonly #receiver: UdpReceiver
  readonly #next: () => ToLane | undefined
  readonly #descriptors: { v4: number; v6: number }
  readonly #pollAt: number
  readonly #tunAt: number
  readonly #handedAt: number
  readonly #spareScratch: number[] = []
  #now = 0
  #stopped = false

  constructor({ native, memory, crypto, start, post, next }: LaneLoopOptions) {
    const { udp4, udp6, tun } = start
    this.#memory = memory
    this.#libc = new Libc(native)
    this.#start = start
    this.#next = next
    this.#board = new LaneBoard(start.size, start.board, start.lane)
    this.#descriptors = { v4: udp4, v6: udp6 }
    this.#wake = new EventFd(this.#libc, memory, start.wake)
    this.#addresses = new AddressScratch(memory)
    this.#news = new LaneNews(this.#board, (address) => this.#addresses.endpointOf(address), post)
    const memcpy = native.library(null).function('uintptr_t memcpy(uintptr_t to, uintptr_t from, size_t length)')
    this.#ciphers = new LaneCiphers(crypto, memory, memcpy)
    this.#pollAt = memory.allocate(WATCHED * memory.abi.pollfd.size)
    this.#handedAt = memory.allocate(LONGEST_DATAGRAM)
    this.#tunAt = memory.allocate(tun < 0 ? 0 : TUN_BUFFER)
    this.#receiver = new UdpReceiver(memory, this.#libc)
    const carry = (to: Endpoint, datagram: Uint8Array): void => this.#news.carried(datagram, to)
    this.#lane = new Lane({
      memory,
      board: this.#board,
      news: this.#news,
      out: new OutBatches(memory, this.#libc, this.#board, this.#descriptors, carry),
      tun: tun < 0 ? undefined : this.#tunWriter(),
    })
  }

  /** Until it is told to stop. */
  run(): void {
    const { pollfd } = this.#memory.abi
    const address = this.#memory.address(this.#pollAt, WATCHED * pollfd.size)
    this.#readClock()
    while (!this.#stopped) {
      this.#watch()
      this.#libc.poll(address, WATCHED, this.#news.patience(this.#now))
      this.#readClock()
      this.#lane.begin(this.#now)
      if (this.#isReady(Watched.wake)) this.#takeMessages()
      if (this.#isReady(Watched.udp4)) this.#receive(this.#descriptors.v4)
      if (this.#isReady(Watched.udp6)) this.#receive(this.#descriptors.v6)
      if (this.#isReady(Watched.tun)) this.#readTun()
      this.#lane.end()
    }
  }

  /* ── What has come. ── */

  readonly #takeDatagram = (at: number, length: number, from: DatagramSource): void => this.#lane.datagram(at, length, from)

  #receive(descriptor: number): void {
    this.#receiver.receive(descriptor, this.#takeDatagram)
    // What is coalesced for the TUN stands in buffers that the next call fills again.
    this.#lane.flushTun()
  }

  #readTun(): void {
    const buffer = this.#memory.address(this.#tunAt, TUN_BUFFER)
    for (let i = 0; i < TUN_READS; i++) {
      const length = this.#libc.read(this.#start.tun, buffer, 65_536)
      if (length <= virtioNetHeader) return
      this.#lane.fromTun(this.#tunAt, length)
    }
  }

  /* ── The main thread's word. ── */

  #takeMessages(): void {
    this.#wake.drain()
    for (let message = this.#next(); message !== undefined; message = this.#next()) this.#take(message)
  }

  #take(message: ToLane): void {
    const lane = this.#lane
    switch (message.kind) {
      case 'install':
        return void this.#install(message)
      case 'release': {
        const session = lane.release(message.suite, message.local)
        if (session !== undefined) this.#spareScratch.push(session.scratchAt)
        return void this.#news.unread(message.keys)
      }
      case 'route': {
        const { suite, local, to } = message
        const session = local === undefined ? undefined : lane.session(suite, local)
        const address = to === undefined || isCarried(to) ? new Uint8Array(0) : this.#addresses.addressOf(to)
        return void lane.route(message.association, session, address, to && isCarried(to) ? to : undefined)
      }
      case 'room':
        return void lane.setRoom(message.association, message.bytes)
      case 'pass':
        for (const flow of message.flows) lane.pass(flow)
        return
      case 'forget':
        return void lane.forget(message.slot)
      case 'datagram':
        return void this.#takeHanded(message.datagram, message.from)
      case 'sockets':
        this.#descriptors.v4 = message.udp4
        this.#descriptors.v6 = message.udp6
        return
      case 'stop':
        this.#stopped = true
    }
  }

  #install(install: SessionInstall): void {
    const scratch = this.#spareScratch.pop() ?? this.#memory.allocate(SESSION_SCRATCH, 16)
    const peer = this.#lane.peers.used(install.association)
    this.#lane.hold(new HeldSession(install, peer, this.#board, this.#memory, this.#ciphers, scratch))
  }

  /** Of a session that the main thread knew to be here; where it has gone, nobody else would take it either. */
  #takeHanded(datagram: Uint8Array, from: Endpoint): void {
    if (datagram.length > LONGEST_DATAGRAM) return
    this.#memory.bytes.set(datagram, this.#handedAt)
    const source = isCarried(from)
      ? { address: new Uint8Array(0), endpoint: from }
      : { address: this.#addresses.addressOf(from), endpoint: from }
    this.#lane.handed(this.#handedAt, datagram.length, source)
    this.#lane.flushTun()
  }

  /* ── Waiting. ── */

  #watch(): void {
    const { wake, tun } = this.#start
    this.#watchOne(Watched.wake, wake)
    this.#watchOne(Watched.udp4, this.#descriptors.v4)
    this.#watchOne(Watched.udp6, this.#descriptors.v6)
    this.#watchOne(Watched.tun, tun)
  }

  /** poll(2) passes over negative descriptors. */
  #watchOne(index: number, descriptor: number): void {
    const { pollfd } = this.#memory.abi
    const at = this.#pollAt + index * pollfd.size
    const { view } = this.#memory
    view.setInt32(at + pollfd.descriptor, descriptor, true)
    view.setInt16(at + pollfd.events, POLLIN, true)
    view.setInt16(at + pollfd.returned, 0, true)
  }

  #isReady(index: number): boolean {
    const { pollfd } = this.#memory.abi
    return this.#memory.view.getInt16(this.#pollAt + index * pollfd.size + pollfd.returned, true) !== 0
  }

  #readClock(): void {
    this.#now = monotonicMs() - this.#start.epoch
  }

  #tunWriter(): TunWriter {
    const { tun, tunUdp } = this.#start
    return new TunWriter(this.#memory, this.#libc, this.#board, tun, tunUdp, new IoVectors(this.#memory, VECTORS))
  }
}
