import type { Duplex } from 'node:stream'
import type { Deadline } from '#shared/machine.ts'
import type { ConnectOptions, ListenOptions, NetstackOptions, UdpBinding, UdpPeer } from '#shared/netstack/options.ts'
import type { Instant } from '#shared/time/instant.ts'

/** Signatures first; the bodies follow. */
export declare class Netstack {
  constructor(options: NetstackOptions)
  readonly addresses: readonly string[]
  /** One inner IP packet, borrowed. Returns 0 or a negative DropReason, which is also counted. */
  input(packet: Uint8Array): number
  deadline(): Deadline | undefined
  expire(now: Instant): void
  setAddresses(addresses: readonly string[]): void
  setMtu(mtu: number): void
  listen(options: ListenOptions, onConnection: (socket: TcpSocket) => void): TcpListener
  connect(options: ConnectOptions): TcpSocket
  bindUdp(options: UdpBinding, onDatagram: (payload: Uint8Array, from: UdpPeer, to: UdpPeer) => void): UdpSocket
  /** Round trip in ms, or undefined after `timeoutMs` (default 1000). */
  ping(address: string, options?: { bytes?: number; timeoutMs?: number }): Promise<number | undefined>
  /** Resets every connection and closes every socket. */
  destroy(): void
}

/** Events: those of Duplex, and 'connect'. */
export declare class TcpSocket extends Duplex {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly connecting: boolean
  readonly bytesRead: number
  readonly bytesWritten: number
  setNoDelay(on?: boolean): this
  setKeepAlive(on?: boolean, idleMs?: number): this
  /** Destroys the stream and resets the connection at once. */
  reset(): this
}

export declare class TcpListener {
  readonly port: number
  /** Accepts no more; established connections stay. */
  close(): void
}

export declare class UdpSocket {
  readonly port: number
  /** Sends one datagram; returns 0 or a negative DropReason. */
  send(payload: Uint8Array, address: string, port: number): number
  close(): void
}
