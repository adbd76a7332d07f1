/**
 * One UDP port in one or both families, as descriptors that every thread may use: a socket of each family (never a dual-stack one).
 * Receiving is the lane's; the main thread sends.
 */
import { isIPv6 } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { addressMissing, isMissingFamily, isWildcard, portForbidden, portInUse } from '#shared/platform/udp.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { Errno, type Libc, MSG_DONTWAIT, O_CLOEXEC, O_NONBLOCK } from './libc.ts'
import type { NativeMemory } from './memory.ts'
import { AF_INET, AF_INET6, readSocketAddress, SOCKET_ADDRESS_ROOM, writeSocketAddress } from './socket-address.ts'

const SOCK_DGRAM = 2
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_SNDBUF = 7
const SO_RCVBUF = 8
const SO_REUSEPORT = 15
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const SO_ATTACH_REUSEPORT_CBPF = 51
const IPPROTO_IP = 0
const IP_MTU_DISCOVER = 10
const IPPROTO_IPV6 = 41
const IPV6_MTU_DISCOVER = 23
const IPV6_V6ONLY = 26
/** Never fragment, and never believe a path MTU that an ICMP message claims. */
const PMTUDISC_PROBE = 3
const SOL_UDP = 17
const UDP_GRO = 104

/** Asked of the kernel for each direction; without CAP_NET_ADMIN it grants up to net.core.rmem_max and wmem_max. Bytes. */
const SOCKET_BUFFER = 8 * 1024 * 1024

/** Longest datagram of the main thread, bytes. */
const LONGEST = 9_216

const ATTEMPTS = 8

/** What a call needs in memory: a socket address, the value or length of an option, and the datagram that the main thread sends. */
const SCRATCH = { address: 0, value: 32, datagram: 64, length: 64 + LONGEST } as const

/** One for all ports of a memory, since no call outlasts the one that made it: ports may come and go. */
const scratches = new WeakMap<NativeMemory, number>()

function scratchOf(memory: NativeMemory): number {
  const scratch = scratches.get(memory) ?? memory.allocate(SCRATCH.length)
  scratches.set(memory, scratch)
  return scratch
}

export interface UdpPortOptions {
  /** Literal address; undefined or '::' means every address of both families (IPv6 where the machine has it). */
  readonly address?: string
  /** 0 picks a free one, the same in both families. */
  readonly port: number
  /** Whether sockets of this process that say the same may take single addresses of the port; datagrams to those are theirs. */
  readonly shared?: boolean
  /** Datagrams leave whole or not at all (IP_PMTUDISC_PROBE): one that the next link cannot carry is refused. */
  readonly neverFragment?: boolean
  /** One of several that share the whole of the port, each with sockets of its own, in the order in which they are bound (SO_REUSEPORT). */
  readonly grouped?: boolean
}

/** Of the two sockets; -1 stands for a family that the port does not serve. */
export interface UdpDescriptors {
  readonly v4: number
  readonly v6: number
}

export class UdpPort {
  /** Datagrams that the system refused, of those given to `sendTo`. */
  dropped = 0
  readonly descriptors: UdpDescriptors
  readonly local: Endpoint
  readonly #libc: Libc
  readonly #memory: NativeMemory
  readonly #scratch: number

  private constructor(libc: Libc, memory: NativeMemory, scratch: number, descriptors: UdpDescriptors, neverFragment: boolean) {
    this.#libc = libc
    this.#memory = memory
    this.#scratch = scratch
    this.descriptors = descriptors
    const { v4, v6 } = descriptors
    this.local = localOf(libc, memory, scratch, v6 >= 0 ? v6 : v4)
    // Where the kernel (before Linux 5.0) joins no datagrams for us, each comes by itself.
    this.#all(SOL_UDP, UDP_GRO, 1)
    this.#all(SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER) || this.#all(SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER)
    this.#all(SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER) || this.#all(SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER)
    if (!neverFragment) return
    if (v4 >= 0) setOption(libc, memory, scratch, v4, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
    if (v6 >= 0) setOption(libc, memory, scratch, v6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
  }

  /** Throws AditError `port-in-use` where another program has the port, `config-invalid` where we may not have it. */
  static bind(libc: Libc, memory: NativeMemory, options: UdpPortOptions): UdpPort {
    const { address, port, shared = false, neverFragment = false, grouped = false } = options
    const scratch = scratchOf(memory)
    const made = (v4: number, v6: number) => new UdpPort(libc, memory, scratch, { v4, v6 }, neverFragment)
    const one = (at: string, number: number) => bindOne(libc, memory, scratch, { address: at, port: number }, { shared, grouped })
    // A shared port would be had although another program's socket has all of it: that is noticed by asking for it alone first.
    if (shared && !grouped && port !== 0 && (address ?? '::').match(/^(::|0\.0\.0\.0)$/))
      UdpPort.bind(libc, memory, { ...options, shared: false }).close()
    if (address !== undefined && address !== '::')
      return isIPv6(address) ? made(-1, one(address, port)) : made(one(address, port), -1)
    for (let attempt = 1; ; attempt++) {
      const v4 = one('0.0.0.0', port)
      try {
        return made(v4, one('::', localOf(libc, memory, scratch, v4).port))
      } catch (error) {
        if (isMissingFamily(error)) return made(v4, -1)
        libc.close(v4)
        // With port 0 the number that IPv4 was given may be taken in IPv6: roll again.
        if (port !== 0 || attempt === ATTEMPTS) throw error
      }
    }
  }

  /** Sends a copy of `datagram`; false where the system would not take it now, or not at all (counted in `dropped`). Never throws. */
  sendTo(datagram: Uint8Array, to: Endpoint): boolean {
    const memory = this.#memory
    const descriptor = to.address.includes(':') ? this.descriptors.v6 : this.descriptors.v4
    if (descriptor < 0 || datagram.length > LONGEST) return this.#drop()
    const size = writeSocketAddress(memory, this.#scratch, to)
    if (size === 0) return this.#drop()
    memory.bytes.set(datagram, this.#scratch + SCRATCH.datagram)
    const from = memory.address(this.#scratch + SCRATCH.datagram, datagram.length)
    const sent = this.#libc.sendto(descriptor, from, datagram.length, MSG_DONTWAIT, memory.address(this.#scratch, size), size)
    return sent === datagram.length || this.#drop()
  }

  /** Gives the group that this port is of a program that picks the socket; false where the kernel takes none. `fprog`: a sock_fprog. */
  steer(fprog: number, length: number): boolean {
    const { v4, v6 } = this.descriptors
    const attach = (one: number): boolean => this.#libc.setsockopt(one, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, fprog, length) === 0
    return [v4, v6].every((one) => one < 0 || attach(one))
  }

  close(): void {
    for (const descriptor of [this.descriptors.v4, this.descriptors.v6]) if (descriptor >= 0) this.#libc.close(descriptor)
  }

  #all(level: number, option: number, value: number): boolean {
    const { v4, v6 } = this.descriptors
    return [v4, v6].every((one) => one < 0 || setOption(this.#libc, this.#memory, this.#scratch, one, level, option, value))
  }

  #drop(): false {
    this.dropped++
    return false
  }
}

function bindOne(
  libc: Libc,
  memory: NativeMemory,
  scratch: number,
  at: Endpoint,
  { shared, grouped }: { readonly shared: boolean; readonly grouped: boolean },
): number {
  const family = at.address.includes(':') ? AF_INET6 : AF_INET
  const descriptor = libc.socket(family, SOCK_DGRAM | O_NONBLOCK | O_CLOEXEC, 0)
  if (descriptor < 0) throw systemError('socket', libc.errno(), at)
  if (family === AF_INET6) setOption(libc, memory, scratch, descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1)
  if (shared) setOption(libc, memory, scratch, descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
  if (grouped) setOption(libc, memory, scratch, descriptor, SOL_SOCKET, SO_REUSEPORT, 1)
  const size = writeSocketAddress(memory, scratch, at)
  if (size > 0 && libc.bind(descriptor, memory.address(scratch, size), size) === 0) return descriptor
  const errno = size > 0 ? libc.errno() : Errno.EINVAL
  libc.close(descriptor)
  throw systemError('bind', errno, at)
}

function setOption(
  libc: Libc,
  memory: NativeMemory,
  scratch: number,
  descriptor: number,
  level: number,
  option: number,
  value: number,
): boolean {
  const at = scratch + SCRATCH.value
  memory.words[at >> 2] = value
  return libc.setsockopt(descriptor, level, option, memory.address(at, 4), 4) === 0
}

function localOf(libc: Libc, memory: NativeMemory, scratch: number, descriptor: number): Endpoint {
  const lengthAt = scratch + SCRATCH.value
  memory.words[lengthAt >> 2] = SOCKET_ADDRESS_ROOM
  const result = libc.getsockname(descriptor, memory.address(scratch, SOCKET_ADDRESS_ROOM), memory.address(lengthAt, 4))
  const local = result === 0 ? readSocketAddress(memory, scratch) : undefined
  if (local === undefined) throw systemError('getsockname', libc.errno(), { address: '', port: 0 })
  return local
}

/** The same errors as from Node's own sockets. */
function systemError(call: string, errno: number, { address, port }: Endpoint): Error {
  const code = getSystemErrorName(-errno)
  const cause: NodeJS.ErrnoException = Object.assign(new Error(`${call} ${code} ${address}:${port}`), {
    code,
    errno: -errno,
    syscall: call,
  })
  if (errno === Errno.EADDRINUSE) return portInUse(address, port, cause)
  if (errno === Errno.EADDRNOTAVAIL && !isWildcard(address)) return addressMissing(address, port, cause)
  return errno === Errno.EACCES ? portForbidden(address, port, cause) : cause
}
