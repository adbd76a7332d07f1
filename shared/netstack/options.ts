import type { Suite } from '#shared/crypto/suite.ts'
import type { Clock, Instant } from '#shared/time/instant.ts'

/** What a stack is made of. Addresses are textual everywhere in this API. */
export interface NetstackOptions {
  suite: Suite
  clock: Clock
  /** Takes one IP packet; the bytes are borrowed for the call only. */
  transmit(packet: Uint8Array): void
  /** Our own addresses, IPv4 and IPv6. */
  addresses: readonly string[]
  /** Largest packet sent, bytes; 1280 unless the path is known better (DESIGN §5). */
  mtu?: number
  limits?: Partial<NetstackLimits>
  /** A kernel has the same addresses: only ephemeral ports are chosen that it does not choose, and `owns` tells whose a packet is. */
  besideKernel?: boolean
  /** The earliest deadline became earlier: re-arm the timer that calls `expire`. */
  wake?(at: Instant): void
  /**
   * Runs `task` soon, once. What packets and writes caused (segments, acknowledgements, 'data' events) is then done in one go for
   * a whole batch: give `setImmediate` where packets come in bursts. Without it everything happens inside the causing call.
   */
  defer?(task: () => void): void
}

export interface NetstackLimits {
  /** Connections in all states but TIME-WAIT. Beyond it new ones are refused. */
  connections: number
  /** TIME-WAIT records; beyond it the oldest gives way. */
  timeWait: number
  /** Bytes that one connection may hold unsent or unacknowledged, and may hold unread: each buffer grows up to this. */
  sendBuffer: number
  receiveBuffer: number
  /** Bytes that buffers of all connections may hold together before windows stop growing. */
  totalBuffer: number
  /** Half-open connections of one listener, unless `listen` says otherwise; one source address may hold a quarter of them. */
  backlog: number
  /** ICMP errors and resets to strangers, per second. */
  errorsPerSecond: number
  /** Bytes of fragments waiting for their siblings. */
  fragmentBytes: number
  /** Milliseconds in TIME-WAIT (2 MSL). */
  timeWaitMs: number
  /** Milliseconds without any progress after which a connection with unacknowledged data is given up (RFC 9293 R2). */
  giveUpMs: number
  /** Milliseconds that a connection attempt may take. */
  connectMs: number
}

export const defaultLimits: NetstackLimits = {
  connections: 65_536,
  timeWait: 4_096,
  sendBuffer: 1 << 20,
  receiveBuffer: 1 << 20,
  totalBuffer: 256 << 20,
  backlog: 1_024,
  errorsPerSecond: 200,
  fragmentBytes: 256 << 10,
  timeWaitMs: 60_000,
  giveUpMs: 900_000,
  connectMs: 75_000,
}

export interface ListenOptions {
  port: number
  /** One of our addresses; all of them unless given. */
  address?: string
  /** Half-open connections at once. */
  backlog?: number
  /** As in node:net: false (default) ends our side when the peer ends its own. */
  allowHalfOpen?: boolean
}

export interface ConnectOptions {
  address: string
  port: number
  localAddress?: string
  localPort?: number
  allowHalfOpen?: boolean
}

export interface UdpBinding {
  /** 0: any free port. */
  port: number
  address?: string
}

export interface UdpPeer {
  address: string
  port: number
}
