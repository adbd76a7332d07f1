import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { AditError } from '#shared/errors.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'

/** Asked of the kernel for each direction; it grants up to net.core.rmem_max and wmem_max. Bytes. */
const socketBuffer = 4 * 1024 * 1024

/** A datagram that the kernel could not take at once waits in Node; beyond this many bytes, datagrams are dropped instead. */
const queueLimit = 256 * 1024

/** Longest datagram that we send: an inner packet of 1420 bytes and its wrapping, with room for a large control message. */
const longestDatagram = 9_216

export interface UdpOptions {
  /** Literal address; undefined or '::' means every address of both families (IPv6 where the machine has it). */
  address?: string
  /** 0 picks a free one, the same in both families. */
  port: number
  /** Whether sockets of this process that say the same may take single addresses of the port; datagrams to those are theirs. */
  shared?: boolean
  /** `datagram` belongs to the callee. `from.address` is never an IPv4-mapped IPv6 address. */
  onDatagram: (datagram: Uint8Array, from: Endpoint) => void
}

/**
 * One UDP port, in one or both families, over node:dgram. A socket of each family (never a dual-stack one), so that addresses
 * need no mapping and an IPv4-only machine works the same way.
 */
export class UdpSocket {
  /** Datagrams that the system refused or that found the queue full. */
  dropped = 0
  readonly #v4: Socket | undefined
  readonly #v6: Socket | undefined
  #slot = Buffer.allocUnsafeSlow(longestDatagram)

  private constructor(v4: Socket | undefined, v6: Socket | undefined, onDatagram: UdpOptions['onDatagram']) {
    this.#v4 = v4
    this.#v6 = v6
    for (const socket of [v4, v6]) {
      socket?.on('message', (datagram: Buffer, from: RemoteInfo) => onDatagram(datagram, unmapped(from)))
      // An unreachable destination or a vanished interface is told here on some systems; the protocols notice by silence.
      socket?.on('error', () => this.dropped++)
    }
  }

  /** Throws AditError `port-in-use` where another program has the port, `config-invalid` where we may not or cannot have it. */
  static async bind(options: UdpOptions): Promise<UdpSocket> {
    const { address, port, shared = false } = options
    // A shared port would be had although another program's socket has all of it: that is noticed by asking for it alone first.
    if (shared && port !== 0 && (address ?? '::').match(/^(::|0\.0\.0\.0)$/))
      await (await UdpSocket.bind({ ...options, shared: false })).close()
    if (address !== undefined && address !== '::') {
      const socket = await bindOne(isIPv6(address) ? 'udp6' : 'udp4', address, port, shared)
      return isIPv6(address)
        ? new UdpSocket(undefined, socket, options.onDatagram)
        : new UdpSocket(socket, undefined, options.onDatagram)
    }
    for (let attempt = 1; ; attempt++) {
      const v4 = await bindOne('udp4', '0.0.0.0', port, shared)
      try {
        return new UdpSocket(v4, await bindOne('udp6', '::', v4.address().port, shared), options.onDatagram)
      } catch (error) {
        if (isMissingFamily(error)) return new UdpSocket(v4, undefined, options.onDatagram)
        v4.close()
        // With port 0 the number that IPv4 was given may be taken in IPv6: roll again.
        if (port !== 0 || attempt === 8) throw error
      }
    }
  }

  get local(): Endpoint {
    const { address, port } = (this.#v6 ?? this.#v4)!.address()
    return { address, port }
  }

  /** Sends a copy of `datagram`; false where the system has no way to take it (counted in `dropped`). Never throws. */
  send(datagram: Uint8Array, to: Endpoint): boolean {
    const socket = to.address.includes(':') ? this.#v6 : this.#v4
    if (socket === undefined || datagram.length > longestDatagram) return this.#drop()
    try {
      const waiting = socket.getSendQueueSize()
      if (waiting > queueLimit) return this.#drop()
      this.#slot.set(datagram)
      socket.send(this.#slot, 0, datagram.length, to.port, to.address)
      // The kernel took it at once, as it nearly always does, or Node holds on to our memory until it has.
      if (socket.getSendQueueSize() > waiting) this.#slot = Buffer.allocUnsafeSlow(longestDatagram)
      return true
    } catch {
      return this.#drop()
    }
  }

  /** Lets the process end although the socket is open. */
  unref(): void {
    this.#v4?.unref()
    this.#v6?.unref()
  }

  async close(): Promise<void> {
    await Promise.all([this.#v4, this.#v6].map((socket) => socket && new Promise<void>((done) => socket.close(() => done()))))
  }

  #drop(): boolean {
    this.dropped++
    return false
  }
}

/** Addresses are literal, so looking them up is no work and, done at once, spares a tick and a closure per datagram. */
function literal(address: string, _options: unknown, done: (error: null, address: string, family: number) => void): void {
  done(null, address, address.includes(':') ? 6 : 4)
}

function bindOne(type: 'udp4' | 'udp6', address: string, port: number, reuseAddr: boolean): Promise<Socket> {
  const socket = createSocket({ type, ipv6Only: type === 'udp6', reuseAddr, lookup: literal as never })
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close()
      if (error.code === 'EADDRINUSE') reject(portInUse(address, port, error))
      else if (error.code === 'EADDRNOTAVAIL' && !isWildcard(address)) reject(addressMissing(address, port, error))
      else reject(error.code === 'EACCES' ? portForbidden(address, port, error) : error)
    })
    socket.bind({ address, port }, () => {
      socket.removeAllListeners('error')
      growBuffers(socket)
      resolve(socket)
    })
  })
}

function growBuffers(socket: Socket): void {
  try {
    socket.setRecvBufferSize(socketBuffer)
    socket.setSendBufferSize(socketBuffer)
  } catch {
    // Some systems refuse instead of granting less; the default serves.
  }
}

/** Where even all addresses of a family are not to be had, the family is missing. */
export const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::'

export function isMissingFamily(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL' || code === 'EPROTONOSUPPORT' || code === 'EINVAL'
}

export function portInUse(address: string, port: number, cause: Error): AditError {
  const message = `UDP port ${port} on ${address} is in use by another program.`
  return new AditError('port-in-use', message, `Stop that program ("ss -ulpn" names it) or choose another port.`, { cause })
}

export function portForbidden(address: string, port: number, cause: Error): AditError {
  const mend = 'Ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose another port.'
  return new AditError('config-invalid', `UDP port ${port} on ${address} may not be opened.`, mend, { cause })
}

export function addressMissing(address: string, port: number, cause: Error): AditError {
  const mend = 'Name an address that it has, or none, as in :4500, for all of them.'
  return new AditError(
    'config-invalid',
    `UDP port ${port} cannot be opened on ${address}: this machine has no such address.`,
    mend,
    {
      cause,
    },
  )
}

const mappedPrefix = '::ffff:'

function unmapped(from: RemoteInfo): Endpoint {
  const { address, port } = from
  return address.startsWith(mappedPrefix) && address.includes('.') ? { address: address.slice(mappedPrefix.length), port } : from
}
