/**
 * Datagrams in batches: recvmmsg(2) on a socket with UDP_GRO, by which the kernel hands over up to 64 KB of one sender's datagrams as one
 * buffer, with a control message that says how long each of them is.
 */
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { nowhere } from './address-scratch.ts'
import type { DatagramSource } from './datagram-source.ts'
import { IoVectors } from './io-vectors.ts'
import { type Libc, MSG_DONTWAIT } from './libc.ts'
import type { NativeMemory } from './memory.ts'
import { AF_INET, readSocketAddress } from './socket-address.ts'

/** Buffers that one call may fill. */
const MESSAGES = 16
const BUFFER = 65_536
const NAME_ROOM = 32
const CONTROL_ROOM = 64
const SOL_UDP = 17
const UDP_GRO = 104

/** The sender of one buffer. */
class Sender implements DatagramSource {
  readonly #memory: NativeMemory
  readonly #at: number
  readonly #v4: Uint8Array
  readonly #v6: Uint8Array

  constructor(memory: NativeMemory, at: number) {
    this.#memory = memory
    this.#at = at
    this.#v4 = memory.bytes.subarray(at, at + memory.abi.sockaddrIn.size)
    this.#v6 = memory.bytes.subarray(at, at + memory.abi.sockaddrIn6.size)
  }

  get address(): Uint8Array {
    return this.#memory.view.getUint16(this.#at, true) === AF_INET ? this.#v4 : this.#v6
  }

  get endpoint(): Endpoint {
    return readSocketAddress(this.#memory, this.#at) ?? nowhere
  }
}

export class UdpReceiver {
  readonly #memory: NativeMemory
  readonly #libc: Libc
  readonly #messagesAt: number
  readonly #messages: number
  readonly #buffersAt: number
  readonly #controlsAt: number
  readonly #senders: Sender[] = []

  constructor(memory: NativeMemory, libc: Libc) {
    const { mmsghdr, msghdr, iovec } = memory.abi
    this.#memory = memory
    this.#libc = libc
    this.#buffersAt = memory.allocate(MESSAGES * BUFFER)
    this.#controlsAt = memory.allocate(MESSAGES * CONTROL_ROOM)
    const namesAt = memory.allocate(MESSAGES * NAME_ROOM)
    this.#messagesAt = memory.allocate(MESSAGES * mmsghdr.size)
    this.#messages = memory.address(this.#messagesAt, MESSAGES * mmsghdr.size)
    const vectors = new IoVectors(memory, MESSAGES)
    for (let i = 0; i < MESSAGES; i++) {
      const at = this.#messagesAt + i * mmsghdr.size
      const name = namesAt + i * NAME_ROOM
      vectors.set(i, this.#buffersAt + i * BUFFER, BUFFER)
      memory.setPointer(at + msghdr.name, name, NAME_ROOM)
      memory.setSize(at + msghdr.vector, vectors.address + i * iovec.size)
      memory.setSize(at + msghdr.vectorLength, 1)
      memory.setPointer(at + msghdr.control, this.#controlsAt + i * CONTROL_ROOM, CONTROL_ROOM)
      this.#senders.push(new Sender(memory, name))
    }
  }

  /** Hands over what waits at `descriptor`, 16 buffers at most, one datagram after the other; returns how many buffers there were. */
  receive(descriptor: number, take: (at: number, length: number, from: DatagramSource) => void): number {
    const { mmsghdr, msghdr } = this.#memory.abi
    const { view } = this.#memory
    for (let i = 0; i < MESSAGES; i++) {
      const at = this.#messagesAt + i * mmsghdr.size
      view.setUint32(at + msghdr.nameLength, NAME_ROOM, true)
      this.#memory.setSize(at + msghdr.controlLength, CONTROL_ROOM)
    }
    const count = this.#libc.recvmmsg(descriptor, this.#messages, MESSAGES, MSG_DONTWAIT, 0)
    for (let i = 0; i < count; i++) {
      const length = Math.min(view.getUint32(this.#messagesAt + i * mmsghdr.size + mmsghdr.length, true), BUFFER)
      const segment = this.#segmentOf(i) || length
      const start = this.#buffersAt + i * BUFFER
      const from = this.#senders[i]!
      for (let at = 0; at < length; at += segment) take(start + at, Math.min(segment, length - at), from)
    }
    return count
  }

  /** What the control message says; 0: the buffer holds one datagram. */
  #segmentOf(message: number): number {
    const { mmsghdr, msghdr, cmsghdr } = this.#memory.abi
    const { view, words } = this.#memory
    const controlLength = words[(this.#messagesAt + message * mmsghdr.size + msghdr.controlLength) >> 2]!
    const at = this.#controlsAt + message * CONTROL_ROOM
    if (controlLength < cmsghdr.data + 4) return 0
    if (view.getInt32(at + cmsghdr.level, true) !== SOL_UDP || view.getInt32(at + cmsghdr.type, true) !== UDP_GRO) return 0
    return view.getInt32(at + cmsghdr.data, true)
  }
}
