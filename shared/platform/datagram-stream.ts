/**
 * One connection that bears datagrams whole and in order instead of UDP (DESIGN D8). A stream that does not keep up loses datagrams, as
 * UDP would: what waits would only arrive too late, and take memory until then.
 */
export interface DatagramStream {
  /** Sends a copy; false where the stream is gone or has `backlogLimit` bytes waiting. Never throws. */
  send(datagram: Uint8Array): boolean
  /** Asks the far end for a sign of life, where the carrier knows such a question. */
  ping(): void
  /** Ends it at once. `StreamEvents.closed` follows, once. */
  close(why: string): void
}

/** What the owner of a stream is told. */
export interface StreamEvents {
  /** It belongs to the callee. */
  datagram(datagram: Uint8Array): void
  /** The far end has answered a ping, or sent one. */
  alive(): void
  closed(why: string): void
}

/** Bytes that may wait in this process for a slow stream. */
export const backlogLimit = 256 * 1024

/** Longest datagram in a stream, bytes. */
export const longestMessage = 64 * 1024
