/**
 * As much of Linux as a lane calls, in memory: datagrams and packets that a test puts in, and what came out. Every address that it is given
 * must lie in the lane's memory. With it a LaneLoop runs in the test's own thread, without koffi: `poll` is where the test acts.
 */
import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { OpensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { abis } from '#shared/platform/linux-engine/abi.ts'
import { KEY_BLOCK } from '#shared/platform/linux-engine/key-block.ts'
import { LaneBoard } from '#shared/platform/linux-engine/lane-board.ts'
import { LaneClient, type LaneEvents } from '#shared/platform/linux-engine/lane-client.ts'
import { LaneKeys } from '#shared/platform/linux-engine/lane-keys.ts'
import { LaneLoop } from '#shared/platform/linux-engine/lane-loop.ts'
import type { FromLane, LaneStart, ToLane } from '#shared/platform/linux-engine/lane-messages.ts'
import { NativeMemory } from '#shared/platform/linux-engine/memory.ts'
import type { Native } from '#shared/platform/linux-engine/native.ts'
import { readSocketAddress, writeSocketAddress } from '#shared/platform/linux-engine/socket-address.ts'
import type { Log } from '#shared/platform/log.ts'
import { instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

const BASE = 0x1000_0000
const KEYS_BASE = 0x2000_0000
export const Fd = { udp4: 4, udp6: 6, tun: 8, wake: 9 } as const
const SOL_UDP = 17
const UDP_GRO = 104
const UDP_SEGMENT = 103
const EAGAIN = 11

/** What one recvmmsg(2) buffer is to hold. */
export interface Arrival {
  readonly bytes: Uint8Array
  readonly from: Endpoint
  /** What UDP_GRO says; undefined: no control message. */
  readonly segment?: number
}

export interface Sent {
  readonly to: Endpoint
  readonly datagrams: Uint8Array[]
}

export class FakeKernel implements Native {
  readonly lane = new NativeMemory(4 << 20, abis.x64!, () => BASE)
  readonly keys: NativeMemory
  readonly arrivals: { v4: Arrival[]; v6: Arrival[] } = { v4: [], v6: [] }
  readonly tunReads: Uint8Array[] = []
  readonly tunWrites: Uint8Array[] = []
  readonly sent: Sent[] = []
  /** Errors that the next calls of sendmsg(2) meet; 0: none. */
  readonly sendErrors: number[] = []
  /** Called where the lane waits. */
  turn: () => void = () => undefined
  hasWord: () => boolean = () => false
  #errno = 0

  constructor(sessions: number) {
    this.keys = new NativeMemory(sessions * KEY_BLOCK.length, abis.x64!, () => KEYS_BASE)
  }

  library(): ReturnType<Native['library']> {
    const calls: Record<string, (...values: number[]) => number> = {
      poll: (at, count) => (count === 1 ? 1 : this.#poll(at)),
      recvmmsg: (fd, at, count) => this.#receive(fd === Fd.udp4 ? this.arrivals.v4 : this.arrivals.v6, at, count),
      sendmsg: (_fd, at) => this.#send(at),
      read: (fd, at, length) => this.#read(fd, at, length),
      write: () => 8,
      writev: (_fd, at, count) => this.#writev(at, count),
      memcpy: (to, from, length) => {
        const source = from - KEYS_BASE
        assert.ok(source >= 0 && source + length <= this.keys.size)
        this.#bytes(to, length).set(this.keys.bytes.subarray(source, source + length))
        return to
      },
    }
    return {
      function: (declaration) => {
        const name = /(\w+)\(/.exec(declaration)![1]!
        return (...values) => (calls[name] ?? (() => -1))(...values)
      },
    }
  }

  memory = (): NativeMemory => this.lane
  errno = (): number => this.#errno

  /** What `length` bytes at an address of the lane's are. */
  #bytes(address: number, length: number): Uint8Array {
    const at = address - BASE
    assert.ok(at >= 0 && length >= 0 && at + length <= this.lane.size, `${length} bytes at ${at} are not the lane's`)
    return this.lane.bytes.subarray(at, at + length)
  }

  #poll(address: number): number {
    this.turn()
    const { pollfd } = this.lane.abi
    const ready = {
      [Fd.wake]: this.hasWord(),
      [Fd.udp4]: this.arrivals.v4.length > 0,
      [Fd.udp6]: this.arrivals.v6.length > 0,
      [Fd.tun]: this.tunReads.length > 0,
    }
    for (let i = 0; i < 4; i++) {
      const at = address - BASE + i * pollfd.size
      const fd = this.lane.view.getInt32(at, true) as keyof typeof ready
      this.lane.view.setInt16(at + pollfd.returned, ready[fd] ? 1 : 0, true)
    }
    return 1
  }

  #receive(arrivals: Arrival[], address: number, most: number): number {
    const { mmsghdr, msghdr, iovec, cmsghdr } = this.lane.abi
    const { view } = this.lane
    const count = Math.min(most, arrivals.length)
    for (let i = 0; i < count; i++) {
      const { bytes, from, segment } = arrivals.shift()!
      const at = address - BASE + i * mmsghdr.size
      const vector = view.getUint32(at + msghdr.vector, true) - BASE
      const buffer = this.#bytes(view.getUint32(vector + iovec.base, true), view.getUint32(vector + iovec.length, true))
      assert.ok(bytes.length <= buffer.length)
      buffer.set(bytes)
      view.setUint32(at + mmsghdr.length, bytes.length, true)
      writeSocketAddress(this.lane, view.getUint32(at + msghdr.name, true) - BASE, from)
      const control = view.getUint32(at + msghdr.control, true) - BASE
      view.setUint32(at + msghdr.controlLength, segment === undefined ? 0 : cmsghdr.data + 4, true)
      if (segment === undefined) continue
      view.setInt32(control + cmsghdr.level, SOL_UDP, true)
      view.setInt32(control + cmsghdr.type, UDP_GRO, true)
      view.setInt32(control + cmsghdr.data, segment, true)
    }
    return count
  }

  #send(address: number): number {
    this.#errno = this.sendErrors.shift() ?? 0
    if (this.#errno !== 0) return -1
    const { msghdr, iovec, cmsghdr } = this.lane.abi
    const { view } = this.lane
    const at = address - BASE
    this.#bytes(address, msghdr.size)
    const vector = view.getUint32(at + msghdr.vector, true) - BASE
    const bytes = this.#bytes(view.getUint32(vector + iovec.base, true), view.getUint32(vector + iovec.length, true))
    let segment = bytes.length
    if (view.getUint32(at + msghdr.controlLength, true) > 0) {
      const control = view.getUint32(at + msghdr.control, true) - BASE
      assert.equal(view.getInt32(control + cmsghdr.level, true), SOL_UDP)
      assert.equal(view.getInt32(control + cmsghdr.type, true), UDP_SEGMENT)
      segment = view.getUint16(control + cmsghdr.data, true)
      assert.ok(segment > 0 && bytes.length <= 65_507 && Math.ceil(bytes.length / segment) <= 64, 'Linux takes no more')
    }
    const datagrams: Uint8Array[] = []
    for (let from = 0; from < bytes.length; from += segment) datagrams.push(bytes.slice(from, from + segment))
    this.sent.push({ to: readSocketAddress(this.lane, view.getUint32(at + msghdr.name, true) - BASE)!, datagrams })
    return bytes.length
  }

  #read(fd: number, address: number, length: number): number {
    if (fd !== Fd.tun) return 8
    const packet = this.tunReads.shift()
    if (packet === undefined) {
      this.#errno = EAGAIN
      return -1
    }
    this.#bytes(address, length).set(packet)
    return packet.length
  }

  #writev(address: number, count: number): number {
    const { iovec } = this.lane.abi
    const parts: Uint8Array[] = []
    for (let i = 0; i < count; i++) {
      const at = address - BASE + i * iovec.size
      parts.push(this.#bytes(this.lane.view.getUint32(at, true), this.lane.view.getUint32(at + iovec.length, true)))
    }
    const packet = Uint8Array.from(Buffer.concat(parts))
    this.tunWrites.push(packet)
    return packet.length
  }
}

/** AEADs by node:crypto over the lane's memory. */
export function nodeCiphers({ bytes }: NativeMemory): OpensslCrypto {
  const context = (algorithm: string, direction: string, keyAt: number) => {
    const keyLength = algorithm.startsWith('aes-') ? Number(algorithm.slice(4, 7)) / 8 : 32
    const key = bytes.slice(keyAt, keyAt + keyLength)
    const slice = (at: number, length: number) => bytes.slice(at, at + length)
    const make = direction === 'seal' ? createCipheriv : createDecipheriv
    const begin = (nonceAt: number, aadAt: number, aadLength: number) =>
      (make as typeof createCipheriv)(algorithm as 'chacha20-poly1305', key, slice(nonceAt, 12), { authTagLength: 16 }).setAAD(
        slice(aadAt, aadLength),
        { plaintextLength: 0 },
      )
    return {
      seal(nonceAt: number, aadAt: number, aadLength: number, at: number, length: number, outAt: number): number {
        const cipher = begin(nonceAt, aadAt, aadLength)
        bytes.set(Buffer.concat([cipher.update(slice(at, length)), cipher.final(), cipher.getAuthTag()]), outAt)
        return length + 16
      },
      open(nonceAt: number, aadAt: number, aadLength: number, at: number, length: number, outAt: number): number {
        const cipher = begin(nonceAt, aadAt, aadLength) as unknown as ReturnType<typeof createDecipheriv> & {
          setAuthTag(tag: Uint8Array): void
        }
        cipher.setAuthTag(slice(at + length - 16, 16))
        try {
          const plain = Buffer.concat([cipher.update(slice(at, length - 16)), cipher.final()])
          bytes.set(plain, outAt)
          return plain.length
        } catch {
          return -1
        }
      },
      wipe: () => void key.fill(0),
    }
  }
  return { context, memory: {} } as unknown as OpensslCrypto
}

/** A lane, the first one of `lanes`, and its main thread's half, both in this thread: `run` gives the word to `steps`, one in every turn of the lane. */
export class LaneInPlace {
  readonly kernel: FakeKernel
  readonly board: LaneBoard
  readonly client: LaneClient
  readonly up: {
    raw: Uint8Array[]
    packets: Uint8Array[]
    carried: Uint8Array[]
    heard: number
    heardInner: number
    sent: number
  } = {
    ...{ raw: [], packets: [], carried: [], heard: 0, heardInner: 0, sent: 0 },
  }
  readonly #words: ToLane[] = []
  #take: (news: FromLane) => void = () => undefined

  constructor(size = { sessions: 16, flows: 16 }, lanes = 1) {
    this.kernel = new FakeKernel(size.sessions)
    this.board = new LaneBoard({ ...size, lanes })
    const { up } = this
    this.client = new LaneClient({
      board: this.board,
      keys: new LaneKeys(this.kernel.keys),
      clock: { now: () => instant(0), wall: () => 0 as never },
      timers: { setTimer: () => ({ clear: () => undefined }) },
      log: {} as Log,
      starts: Array.from({ length: lanes }, (_, lane) => ({ ...this.#start, lane })),
      spawn: ({ lane }, take) => {
        if (lane > 0) return { post: () => undefined, end: () => Promise.resolve() }
        this.#take = take
        return { post: (message) => void this.#words.push(message), end: () => Promise.resolve() }
      },
    })
    const events: LaneEvents = {
      datagram: (datagram) => up.raw.push(datagram),
      heard: (news) => {
        up.heard += news.datagrams
        up.heardInner += news.innerPackets
      },
      sent: (news) => {
        up.sent += news.datagrams
      },
      packet: (packet) => up.packets.push(packet),
      fromTun: (packet) => up.packets.push(packet),
      carried: (datagram) => up.carried.push(datagram),
      settled: () => undefined,
    }
    this.client.begin(events)
  }

  get #start(): LaneStart {
    const { buffer, size } = this.board
    return { lane: 0, board: buffer, size, udp4: Fd.udp4, udp6: Fd.udp6, tun: Fd.tun, tunUdp: true, wake: Fd.wake, epoch: 0 }
  }

  run(steps: Iterable<void>): void {
    const steady = steps[Symbol.iterator]()
    this.kernel.hasWord = () => this.#words.length > 0
    this.kernel.turn = () => {
      if (steady.next().done) this.#words.push({ kind: 'stop' })
    }
    const { kernel } = this
    new LaneLoop({
      ...{ native: kernel, memory: kernel.lane, crypto: nodeCiphers(kernel.lane), start: this.#start },
      post: (news) => this.#take(structuredClone(news)),
      next: () => this.#words.shift(),
    }).run()
  }
}
