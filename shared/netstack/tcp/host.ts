import type { NetstackLimits } from '#shared/netstack/options.ts'
import type { TcpConnection } from '#shared/netstack/tcp/connection.ts'

/** What a connection asks of the stack that holds it. */
export interface TcpHost {
  readonly limits: NetstackLimits
  /** Bytes held by the buffers of all connections; each connection adds and subtracts its own. */
  heldBytes: number
  /** Largest payload of one segment towards `connection` without any TCP option, bytes. */
  segmentRoom(connection: TcpConnection): number
  /**
   * Sends one segment of `length` payload bytes that lie at `offset` in the connection's send buffer. Options, acknowledgement and
   * window are taken from the connection.
   */
  send(connection: TcpConnection, sequence: number, flags: number, offset: number, length: number, now: number): void
  /** Answers a segment that belongs to no state of ours. */
  sendReset(connection: TcpConnection, sequence: number): void
  /** The connection has something to do: it will be asked for output soon. */
  touch(connection: TcpConnection): void
  /** SYN-RECEIVED became ESTABLISHED. */
  established(connection: TcpConnection): void
  /** The connection is over: forget it, or keep it as TIME-WAIT. */
  finished(connection: TcpConnection, timeWait: boolean, now: number): void
}

/** What happened to a connection, as bits: told to its owner when the stack is consistent again. */
export const TcpEvent = { Connected: 1, Readable: 2, Writable: 4, Closed: 8 } as const

/** The shell of a connection: a Duplex, or the listener while nobody has taken it. */
export interface ConnectionOwner {
  /** `events`: bits of TcpEvent. */
  notify(events: number): void
}
