import type { InnerAddress } from '#shared/netstack/inner-address.ts'
import type { TcpConnection } from '#shared/netstack/tcp/connection.ts'
import type { FlowEntry } from '#shared/netstack/tcp/connection-table.ts'
import { after } from '#shared/netstack/tcp/sequence.ts'
import { TcpFlag, type TcpSegment } from '#shared/wire/tcp.ts'

/** What remains of a connection while old segments of it may still be about (RFC 9293 §3.6.1). */
export class TimeWait implements FlowEntry {
  readonly local: InnerAddress
  readonly localPort: number
  readonly remote: Uint8Array
  readonly remotePort: number
  readonly hash: number
  chained: FlowEntry | undefined = undefined
  /** SND.NXT and RCV.NXT. */
  readonly next: number
  readonly received: number
  readonly timestamps: boolean
  readonly timestampOffset: number
  readonly recentTimestamp: number
  readonly pseudo: number
  /** ms. */
  expiresAt: number

  constructor(c: TcpConnection, expiresAt: number) {
    this.local = c.local
    this.localPort = c.localPort
    this.remote = c.remote
    this.remotePort = c.remotePort
    this.hash = c.hash
    this.next = c.next
    this.received = c.received
    this.timestamps = c.timestamps
    this.timestampOffset = c.timestampOffset
    this.recentTimestamp = c.recentTimestamp
    this.pseudo = c.pseudo
    this.expiresAt = expiresAt
  }

  /** A SYN that can only belong to a new connection may take this place (RFC 6191, RFC 9293 §3.10.7.4). */
  mayBeReopenedBy(s: TcpSegment): boolean {
    if ((s.flags & (TcpFlag.Syn | TcpFlag.Ack | TcpFlag.Rst)) !== TcpFlag.Syn) return false
    if (this.timestamps && s.hasTimestamps && after(s.timestamp, this.recentTimestamp)) return true
    return after(s.sequence, this.received)
  }
}

/** TIME-WAIT records in the order of their end. Bounded: the oldest gives way, since memory matters more than a very old segment. */
export class TimeWaitList {
  readonly #records = new Set<TimeWait>()

  get size(): number {
    return this.#records.size
  }

  get earliest(): TimeWait | undefined {
    for (const record of this.#records) return record
    return undefined
  }

  add(record: TimeWait): void {
    this.#records.add(record)
  }

  /** The peer repeated its FIN: wait anew. */
  restart(record: TimeWait, expiresAt: number): void {
    this.#records.delete(record)
    record.expiresAt = expiresAt
    this.#records.add(record)
  }

  delete(record: TimeWait): void {
    this.#records.delete(record)
  }
}
