/**
 * Sealed datagrams on their way out, gathered by destination: as long as they are equally long, one sendmsg(2) with UDP_SEGMENT takes up
 * to 64 of them (the last may be shorter). A datagram is sealed where it will be sent from:
 *
 *   at = batches.place(peer, size)   seal there   batches.add(size)   …   batches.flush()
 */
import { DropReason } from '#shared/drop-reason.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { type LaneBoard, Traffic } from './lane-board.ts'
import type { LanePeer } from './lane-peers.ts'
import { Errno, type Libc } from './libc.ts'
import type { NativeMemory } from './memory.ts'
import { SocketMessage } from './socket-message.ts'

/** Destinations that are gathered for at once; more only cost a flush. */
const BATCHES = 8
/** Linux, UDP_MAX_SEGMENTS (before 6.9; later ones allow more). */
const SEGMENTS = 64
/** A UDP payload over IPv4 has 65,507 bytes at most. */
const LONGEST = 65_000

/** How long a full socket is waited for, ms: it empties at the pace of the wire, and what waits meanwhile waits in the TUN's queue. */
const PATIENCE = 20

class Batch {
  readonly at: number
  peer: LanePeer | undefined = undefined
  length = 0
  /** Bytes of all its datagrams but perhaps the last. */
  segment = 0
  count = 0
  closed = false

  constructor(at: number) {
    this.at = at
  }
}

export class OutBatches {
  readonly #memory: NativeMemory
  readonly #libc: Libc
  readonly #board: LaneBoard
  readonly #descriptors: { readonly v4: number; readonly v6: number }
  readonly #message: SocketMessage
  readonly #batches: Batch[] = []
  /** Takes a datagram for a way that is not ours. */
  readonly #carry: (to: Endpoint, datagram: Uint8Array) => void
  #current: Batch
  #oldest = 0

  constructor(
    memory: NativeMemory,
    libc: Libc,
    board: LaneBoard,
    /** -1: the machine lacks the family. */
    descriptors: { readonly v4: number; readonly v6: number },
    carry: (to: Endpoint, datagram: Uint8Array) => void,
  ) {
    this.#memory = memory
    this.#libc = libc
    this.#board = board
    this.#descriptors = descriptors
    this.#carry = carry
    this.#message = new SocketMessage(memory)
    for (let i = 0; i < BATCHES; i++) this.#batches.push(new Batch(memory.allocate(LONGEST + 4_096)))
    this.#current = this.#batches[0]!
  }

  /** Where the next datagram to `peer`, of `size` bytes, is to be written. */
  place(peer: LanePeer, size: number): number {
    const batch = peer.batch < 0 ? this.#begin(peer) : this.#batches[peer.batch]!
    this.#current = batch
    if (batch.count > 0 && (batch.closed || batch.count === SEGMENTS || size > batch.segment || batch.length + size > LONGEST))
      this.#send(batch)
    return batch.at + batch.length
  }

  /** It has been written. */
  add(size: number): void {
    const batch = this.#current
    if (batch.count === 0) batch.segment = size
    else if (size < batch.segment) batch.closed = true
    batch.length += size
    batch.count++
  }

  /** Everything goes. */
  flush(): void {
    for (const batch of this.#batches) {
      if (batch.peer === undefined) continue
      this.#send(batch)
      batch.peer.batch = -1
      batch.peer = undefined
    }
  }

  #begin(peer: LanePeer): Batch {
    let at = this.#batches.findIndex((batch) => batch.peer === undefined)
    if (at < 0) {
      at = this.#oldest
      this.#oldest = (this.#oldest + 1) % BATCHES
      const batch = this.#batches[at]!
      this.#send(batch)
      batch.peer!.batch = -1
    }
    const batch = this.#batches[at]!
    batch.peer = peer
    peer.batch = at
    return batch
  }

  #send(batch: Batch): void {
    const { count, segment, length } = batch
    if (count === 0) return
    const peer = batch.peer!
    const { carried } = peer
    if (carried !== undefined) this.#each(batch, (at, size) => this.#carry(carried, this.#memory.bytes.slice(at, at + size)))
    else if (count === 1 || peer.refusesBatches) this.#each(batch, (at, size) => this.#transmit(peer, at, size, 0, 1))
    else if (!this.#transmit(peer, batch.at, length, segment, count)) {
      // A device without checksum offload, or a path smaller than a segment: one by one they may pass.
      peer.refusesBatches = true
      this.#each(batch, (at, size) => this.#transmit(peer, at, size, 0, 1))
    }
    batch.count = batch.length = 0
    batch.closed = false
  }

  #each({ at, length, segment }: Batch, send: (at: number, size: number) => void): void {
    for (let done = 0; done < length; done += segment) send(at + done, Math.min(segment, length - done))
  }

  /** False only where a batch was refused as such. */
  #transmit(peer: LanePeer, at: number, length: number, segment: number, count: number): boolean {
    const descriptor = peer.address.length === 16 ? this.#descriptors.v4 : this.#descriptors.v6
    if (descriptor < 0 || peer.address.length === 0) return this.#lost(count)
    this.#message.set(peer.address, at, length, segment)
    const { address } = this.#message
    let sent = this.#libc.sendmsg(descriptor, address, 0)
    if (sent < 0 && this.#libc.errno() === Errno.EAGAIN) {
      this.#message.awaitRoom(this.#libc, descriptor, PATIENCE)
      sent = this.#libc.sendmsg(descriptor, address, 0)
    }
    if (sent >= 0) {
      this.#board.traffic[Traffic.sent] = this.#board.traffic[Traffic.sent]! + count
      return true
    }
    return count > 1 && this.#libc.errno() !== Errno.EAGAIN ? false : this.#lost(count)
  }

  #lost(count: number): true {
    for (let i = 0; i < count; i++) this.#board.count(DropReason.SendFailed)
    return true
  }
}
