import type { InnerAddress } from '#shared/netstack/inner-address.ts'
import { Cubic } from '#shared/netstack/tcp/cubic.ts'
import { type ConnectionOwner, TcpEvent, type TcpHost } from '#shared/netstack/tcp/host.ts'
import type { TcpListener } from '#shared/netstack/tcp/listener.ts'
import { Rack } from '#shared/netstack/tcp/rack.ts'
import type { ReceiveQueue } from '#shared/netstack/tcp/receive-queue.ts'
import { RetransmissionQueue } from '#shared/netstack/tcp/retransmission-queue.ts'
import { RoundTrip } from '#shared/netstack/tcp/round-trip.ts'
import { SendBuffer } from '#shared/netstack/tcp/send-buffer.ts'
import { distance, plus } from '#shared/netstack/tcp/sequence.ts'
import { TcpState } from '#shared/netstack/tcp/state.ts'
import { TcpError, type TcpErrorCode } from '#shared/netstack/tcp/tcp-error.ts'
import type { Timed } from '#shared/time/deadlines.ts'
import type { Instant } from '#shared/time/instant.ts'

/** No time: the timer is off. */
export const NEVER = Number.POSITIVE_INFINITY

/** What loss recovery is at (RFC 6675, RFC 5681). */
export const Phase = { Open: 0, Recovery: 1, Loss: 2 } as const

/** Bytes of a connection's first receive window and send buffer limit; both grow while the flow needs it. */
export const FIRST_WINDOW = 65_535

/** Shift of the windows that we offer: 65,535 << 5 covers the largest buffer allowed. */
export const WINDOW_SCALE = 5

/** Milliseconds: default idle time before keepalive probes, between them, and how many go unanswered. */
export const KEEPALIVE_IDLE = 7_200_000
export const KEEPALIVE_INTERVAL = 75_000
export const KEEPALIVE_PROBES = 9

/**
 * The variables of one connection (RFC 9293 §3.3.1) and what its program may ask of it. What the peer's segments do to it stands in
 * `arrival.ts` and `acknowledgement.ts`, what it sends in `output.ts`, what time does to it in `expiry.ts`. It knows no clock: `now` is in
 * milliseconds, monotonic. Buffers and lists exist only while something is in them.
 */
export class TcpConnection implements Timed {
  readonly host: TcpHost
  readonly local: InnerAddress
  readonly localPort: number
  /** 4 or 16 bytes. */
  readonly remote: Uint8Array
  readonly remotePort: number
  /** Of the four-tuple, for the connection table, whose chains use `chained`. */
  readonly hash: number
  chained: TcpConnection | undefined = undefined
  /** Pseudo-header sum of addresses and protocol. */
  readonly pseudo: number
  /** Whoever hears of events; undefined once the program has let go. */
  owner: ConnectionOwner | undefined = undefined
  /** The listener that this connection came through, until it is established. */
  listener: TcpListener | undefined = undefined
  state: TcpState = TcpState.Closed
  error: TcpErrorCode | undefined = undefined
  /** TcpEvent bits not yet told; whether the stack has this connection on its list of work. */
  events = 0
  touched = false
  // Timed.
  due = 0.5 as Instant
  slot = -1

  // Sending: RFC 9293's ISS, SND.UNA, SND.NXT, SND.WND, SND.WL1, SND.WL2; `queued` is the number after the last byte written.
  initial = 0
  una = 0
  next = 0
  queued = 0
  window = 0
  largestWindow = 0
  windowSequence = 0
  windowAcknowledgement = 0
  windowScale = 0
  /** Payload bytes of a full segment, our options taken off; and what the peer's MSS option said. */
  mss = 0
  peerMss: number
  sendBuffer: SendBuffer | undefined = undefined
  sendLimit = FIRST_WINDOW
  /** Writing is shut: FIN follows the last byte; it has been sent. */
  finQueued = false
  finSent = false
  /** The program waits for room. */
  blocked = false
  noDelay = false
  /** Number after the last segment sent that was not full (Minshall's Nagle). */
  smallEnd = 0
  lastSentAt = 0.5
  /** The window of congestion, not the peer's or the program, stopped the last output. */
  congestionLimited = false

  // Receiving: IRS, RCV.NXT, the right edge that was advertised.
  peerInitial = 0
  received = 0
  advertised = 0
  receiveScale = 0
  receiveLimit: number
  receiveQueue: ReceiveQueue | undefined = undefined
  /** The peer's FIN was seen at `finSequence`; everything before it arrived. */
  finSeen = false
  finSequence = 0
  finReceived = false
  /** Bytes that the program took since the window last grew, and when that was. */
  taken = 0
  tunedAt = 0.5
  /** Acknowledge with the next output; segments since the last acknowledgement; how many more to answer at once. */
  ackNow = false
  unacknowledged = 0
  quickAcks = 16
  lastAckSent = 0
  challengedAt = Number.NEGATIVE_INFINITY
  /** A duplicate to report (RFC 2883). */
  dsack = false
  dsackStart = 0
  dsackEnd = 0

  // Options agreed in the handshake.
  timestamps = false
  timestampOffset = 0
  recentTimestamp = 0
  recentTimestampAt = 0.5
  sackAllowed = false

  // Loss and congestion.
  readonly sent = new RetransmissionQueue()
  readonly roundTrip = new RoundTrip()
  readonly congestion: Cubic
  readonly rack = new Rack()
  phase: number = Phase.Open
  recoveryPoint = 0
  /** PRR (RFC 6937): delivered and sent since recovery began; bytes in flight then. */
  prrDelivered = 0
  prrSent = 0
  prrFlight = 0
  duplicates = 0
  /** Retransmissions of this recovery not reported as duplicates: at 0 it was all a mistake. -1: cannot be undone any more. */
  undoable = -1
  /** Timestamp of the first retransmission after a timeout (Eifel, RFC 3522), and whether it counts. */
  eifel = false
  eifelTimestamp = 0
  /** Tail loss probe outstanding (RFC 8985 §7): the number after what was sent then, and whether it was a retransmission. */
  probing = false
  probeEnd = 0
  probeRetransmitted = false
  probes = 0

  // Timers, ms; NEVER: off.
  /** RTO; or persist, while nothing is in flight and the peer's window is shut. */
  retransmitAt = NEVER
  /** PTO, or RACK's reordering timer. */
  probeAt = NEVER
  probeIsReordering = false
  acknowledgeAt = NEVER
  /** Handshake, keepalive, or FIN-WAIT-2 of an orphan. */
  idleAt = NEVER
  keepAliveMs = 0
  keepAliveProbes = 0
  heardAt = 0.5
  /** When the oldest data unanswered was first sent again; NEVER while all is well. */
  stalledSince = NEVER

  constructor(
    host: TcpHost,
    local: InnerAddress,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
    hash: number,
    pseudo: number,
  ) {
    this.host = host
    this.local = local
    this.localPort = localPort
    this.remote = remote
    this.remotePort = remotePort
    this.hash = hash
    this.pseudo = pseudo
    this.receiveLimit = Math.min(FIRST_WINDOW, host.limits.receiveBuffer)
    this.peerMss = remote.length === 4 ? 536 : 1220
    this.mss = Math.min(this.peerMss, host.segmentRoom(this))
    this.congestion = new Cubic(this.mss)
  }

  /** Sets what is numbered from: `initial` is our ISS; times count from `now`. */
  begin(initial: number, timestampOffset: number, now: number): void {
    this.initial = initial
    this.una = initial
    this.next = initial
    this.queued = plus(initial, 1)
    this.smallEnd = initial
    this.recoveryPoint = initial
    this.timestampOffset = timestampOffset
    this.heardAt = now
    this.rack.start(initial)
  }

  /** Takes the peer's MSS and the path's MTU into account, anew after each change of either. */
  fitSegments(): void {
    const room = Math.min(this.peerMss, this.host.segmentRoom(this)) - (this.timestamps ? 12 : 0)
    if (room === this.mss) return
    this.mss = room
    this.congestion.setMss(room)
  }

  /** Copies as much of `chunk[from..]` as there is room for; returns how many bytes. Short: a Writable event follows. */
  write(chunk: Uint8Array, from: number): number {
    if (this.finQueued || this.state === TcpState.Closed) return 0
    const room = this.sendLimit - (this.sendBuffer?.length ?? 0)
    const count = Math.min(room, chunk.length - from)
    if (count < chunk.length - from) this.blocked = true
    if (count <= 0) return 0
    const before = this.sendBuffer?.capacity ?? 0
    this.sendBuffer ??= new SendBuffer()
    this.sendBuffer.append(chunk, from, from + count)
    this.host.heldBytes += this.sendBuffer.capacity - before
    this.queued = plus(this.queued, count)
    this.host.touch(this)
    return count
  }

  /** Forgets the oldest `count` bytes of those that `write` took. */
  dropSent(count: number): void {
    const held = this.sendBuffer
    if (held === undefined) return
    const before = held.capacity
    held.drop(count)
    this.host.heldBytes -= before - held.capacity
    if (held.length === 0) this.sendBuffer = undefined
  }

  /** The next bytes from the peer; they belong to the caller. */
  take(): Uint8Array | undefined {
    const queue = this.receiveQueue
    const piece = queue?.take()
    if (queue === undefined || piece === undefined) return undefined
    this.host.heldBytes -= piece.length
    this.taken += piece.length
    if (queue.isEmpty && (queue.endOfBurst() || this.finReceived)) this.receiveQueue = undefined
    this.host.touch(this)
    return piece
  }

  /** Nothing more will come and everything has been taken. */
  get ended(): boolean {
    return this.finReceived && (this.receiveQueue === undefined || this.receiveQueue.ready === 0)
  }

  /** No more will be written: FIN goes after the last byte. */
  shutdown(): void {
    if (this.finQueued || this.state === TcpState.Closed) return
    this.finQueued = true
    this.host.touch(this)
  }

  /** The program lets go. What was written still goes out; what comes in is refused; unread bytes mean a reset (RFC 2525 §2.17). */
  release(now: number): void {
    this.owner = undefined
    this.keepAliveMs = 0
    if (this.state === TcpState.Closed) return
    const unread = this.receiveQueue !== undefined && !this.receiveQueue.isEmpty
    if (this.state === TcpState.SynSent || unread) {
      this.abort(now)
      return
    }
    this.shutdown()
    if (this.state === TcpState.FinWait2) this.idleAt = now + this.host.limits.timeWaitMs
    this.host.touch(this)
  }

  /** Ends the connection with a reset. */
  abort(now: number): void {
    if (this.state === TcpState.Closed) return
    if (this.state !== TcpState.SynSent) this.host.sendReset(this, this.next)
    this.close('ECONNABORTED', false, now)
  }

  /** Ends the connection without a word to the peer. */
  close(error: TcpErrorCode | undefined, timeWait: boolean, now: number): void {
    if (this.state === TcpState.Closed) return
    this.state = TcpState.Closed
    this.error = error
    this.retransmitAt = NEVER
    this.probeAt = NEVER
    this.acknowledgeAt = NEVER
    this.idleAt = NEVER
    this.ackNow = false
    this.sent.clear()
    this.dropSent(this.sendBuffer?.length ?? 0)
    if (error !== undefined || this.owner === undefined) this.#dropReceived()
    this.events |= TcpEvent.Closed
    this.host.finished(this, timeWait, now)
    this.host.touch(this)
  }

  #dropReceived(): void {
    const queue = this.receiveQueue
    if (queue === undefined) return
    this.host.heldBytes -= queue.ready + queue.reassembly.bytes
    this.receiveQueue = undefined
  }

  setKeepAlive(idleMs: number, now: number): void {
    this.keepAliveMs = idleMs
    this.keepAliveProbes = 0
    if (this.state < TcpState.Established) return
    this.idleAt = idleMs > 0 ? now + idleMs : NEVER
    this.host.touch(this)
  }

  /** Bytes that the program wrote and that were never sent. */
  get unsent(): number {
    return this.finSent ? 0 : distance(this.queued, this.next)
  }

  /** Milliseconds as our timestamps option tells them (RFC 7323 §5.4: between 1 ms and 1 s a tick). */
  timestampAt(now: number): number {
    return plus(this.timestampOffset, Math.floor(now))
  }

  /** The window's right edge as it may be advertised now: it never moves left, and right only by a worthwhile step (RFC 9293 §3.8.6.2.2). */
  rightEdge(): number {
    const free = Math.max(0, this.receiveLimit - (this.receiveQueue?.ready ?? 0))
    const edge = plus(this.received, free)
    const gain = distance(edge, this.advertised)
    return gain > 0 && gain >= Math.min(this.receiveLimit >> 1, this.mss) ? edge : this.advertised
  }

  toError(): TcpError | undefined {
    return this.error === undefined ? undefined : new TcpError(this.error)
  }
}
