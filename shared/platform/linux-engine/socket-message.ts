import { IoVectors } from './io-vectors.ts'
import { type Libc, POLLOUT } from './libc.ts'
import type { NativeMemory } from './memory.ts'

const SOL_UDP = 17
/** Cuts one buffer into datagrams of equal length (udp(7)). */
const UDP_SEGMENT = 103
/** struct sockaddr_in6. */
const LONGEST_ADDRESS = 28

/** One struct msghdr for sendmsg(2), filled again for every call: an address, one buffer, and how it is to be cut. */
export class SocketMessage {
  readonly address: number
  readonly #memory: NativeMemory
  readonly #at: number
  readonly #nameAt: number
  readonly #controlAt: number
  readonly #controlLength: number
  readonly #vector: IoVectors
  readonly #pollAt: number

  constructor(memory: NativeMemory) {
    const { msghdr, cmsghdr, pollfd } = memory.abi
    this.#memory = memory
    this.#controlLength = cmsghdr.data + cmsghdr.align
    this.#at = memory.allocate(msghdr.size)
    this.#nameAt = memory.allocate(LONGEST_ADDRESS)
    this.#controlAt = memory.allocate(this.#controlLength)
    this.#pollAt = memory.allocate(pollfd.size)
    this.#vector = new IoVectors(memory, 1)
    this.address = memory.address(this.#at, msghdr.size)
    memory.setPointer(this.#at + msghdr.name, this.#nameAt, LONGEST_ADDRESS)
    memory.setSize(this.#at + msghdr.vector, this.#vector.address)
    memory.setSize(this.#at + msghdr.vectorLength, 1)
    memory.setPointer(this.#at + msghdr.control, this.#controlAt, this.#controlLength)
    memory.setSize(this.#controlAt + cmsghdr.length, cmsghdr.data + 2)
    memory.view.setInt32(this.#controlAt + cmsghdr.level, SOL_UDP, true)
    memory.view.setInt32(this.#controlAt + cmsghdr.type, UDP_SEGMENT, true)
  }

  /** `to`: a socket address. `segment`: bytes of each datagram; 0: all of it is one. */
  set(to: Uint8Array, at: number, length: number, segment: number): void {
    const { msghdr, cmsghdr } = this.#memory.abi
    const { bytes, view } = this.#memory
    bytes.set(to, this.#nameAt)
    view.setUint32(this.#at + msghdr.nameLength, to.length, true)
    this.#vector.set(0, at, length)
    this.#memory.setSize(this.#at + msghdr.controlLength, segment > 0 ? this.#controlLength : 0)
    view.setUint16(this.#controlAt + cmsghdr.data, segment, true)
  }

  /** Waits until the socket takes more, `patience` ms at most. */
  awaitRoom(libc: Libc, descriptor: number, patience: number): void {
    const { pollfd } = this.#memory.abi
    const { view } = this.#memory
    view.setInt32(this.#pollAt + pollfd.descriptor, descriptor, true)
    view.setInt16(this.#pollAt + pollfd.events, POLLOUT, true)
    libc.poll(this.#memory.address(this.#pollAt, pollfd.size), 1, patience)
  }
}
