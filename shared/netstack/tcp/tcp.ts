import { DropReason } from '#shared/drop-reason.ts'
import { type InnerAddress, standsAt } from '#shared/netstack/inner-address.ts'
import type { NetstackLimits } from '#shared/netstack/options.ts'
import type { Ports } from '#shared/netstack/ports.ts'
import { segmentArrives, takeSyn } from '#shared/netstack/tcp/arrival.ts'
import { TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { ConnectionTable } from '#shared/netstack/tcp/connection-table.ts'
import { expire, nextDeadline, sendProbe } from '#shared/netstack/tcp/expiry.ts'
import { TcpEvent, type TcpHost } from '#shared/netstack/tcp/host.ts'
import type { InitialSequence } from '#shared/netstack/tcp/initial-sequence.ts'
import type { TcpListener } from '#shared/netstack/tcp/listener.ts'
import { output, sendSyn } from '#shared/netstack/tcp/output.ts'
import { refit } from '#shared/netstack/tcp/path-error.ts'
import { answerTimeWait, sendBareReset } from '#shared/netstack/tcp/reset.ts'
import { writeSegment } from '#shared/netstack/tcp/segment-writer.ts'
import { isSynchronized, TcpState } from '#shared/netstack/tcp/state.ts'
import { TcpError } from '#shared/netstack/tcp/tcp-error.ts'
import { TimeWait, TimeWaitList } from '#shared/netstack/tcp/time-wait.ts'
import type { Transmitter } from '#shared/netstack/transmitter.ts'
import type { Turn } from '#shared/netstack/turn.ts'
import { Deadlines } from '#shared/time/deadlines.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import { foldChecksum, pseudoHeaderSum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import { sameAddress } from '#shared/wire/ip-address.ts'
import { type IpPacket, Protocol } from '#shared/wire/ip-packet.ts'
import { decodeTcpSegment, TCP_HEADER_LENGTH, TcpFlag, TcpSegment } from '#shared/wire/tcp.ts'

/** What TCP needs of the stack around it. */
export interface TcpSurroundings {
  readonly limits: NetstackLimits
  readonly transmitter: Transmitter
  readonly turn: Turn
  readonly ports: Ports
  readonly initialSequence: InitialSequence
  /** Keys the connection table. */
  readonly seed: number
  /** Whether one more answer to a stranger is allowed now. */
  mayAnswerStranger(now: number): boolean
  /** The earliest deadline may have become this. */
  wake(at: Instant): void
  now(): Instant
}

/** All TCP connections and listeners of one stack: finds whose a segment is, and gives each connection its turn. */
export class Tcp implements TcpHost {
  readonly limits: NetstackLimits
  heldBytes = 0
  readonly #around: TcpSurroundings
  readonly #table: ConnectionTable<TcpConnection | TimeWait>
  readonly #timeWait = new TimeWaitList()
  readonly #listeners = new Map<number, TcpListener[]>()
  readonly #deadlines = new Deadlines<TcpConnection>()
  readonly #segment = new TcpSegment()
  /** Connections that have something to do. */
  readonly #work: TcpConnection[] = []

  constructor(around: TcpSurroundings) {
    this.#around = around
    this.limits = around.limits
    this.#table = new ConnectionTable(around.seed)
  }

  /** Connections, TIME-WAIT aside; and TIME-WAIT records. */
  get connections(): number {
    return this.#table.size - this.#timeWait.size
  }

  get timeWaits(): number {
    return this.#timeWait.size
  }

  /** One packet to the address `local` of ours. Returns 0 or a negative DropReason. */
  input(packet: IpPacket, bytes: Uint8Array, view: DataView, local: InnerAddress, now: Instant): number {
    const size = packet.end - packet.payload
    if (size < TCP_HEADER_LENGTH) return DropReason.InnerMalformed
    const pseudo = sumWords(view, packet.source, packet.source + 2 * packet.addressLength, swap16(Protocol.Tcp) + swap16(size))
    if (foldChecksum(sumWords(view, packet.payload, packet.end, pseudo)) !== 0) return DropReason.InnerMalformed
    const s = this.#segment
    const malformed = decodeTcpSegment(view, packet.payload, packet.end, s)
    if (malformed !== 0) return malformed
    const hash = this.#table.hash(s.destinationPort, s.sourcePort, bytes, packet.source, packet.addressLength)
    const entry = this.#table.find(
      hash,
      bytes,
      packet.destination,
      packet.source,
      packet.addressLength,
      s.destinationPort,
      s.sourcePort,
    )
    if (entry instanceof TcpConnection) {
      segmentArrives(entry, s, bytes, now)
      return 0
    }
    if (entry !== undefined) {
      if (!entry.mayBeReopenedBy(s)) {
        this.#arrivesInTimeWait(entry, now)
        return 0
      }
      this.#forget(entry)
    }
    return this.#arrivesAtListener(packet, bytes, local, hash, now)
  }

  /** Opens a connection; throws TcpError where no port or room is left. */
  connect(local: InnerAddress, localPort: number, remote: Uint8Array, remotePort: number, now: Instant): TcpConnection {
    if (this.connections >= this.limits.connections) throw new TcpError('ENOBUFS')
    let hash = 0
    const isFree = (port: number, reuse: boolean): boolean => {
      hash = this.#table.hash(port, remotePort, remote, 0, remote.length)
      const entry = this.#find(hash, local, port, remote, remotePort)
      if (entry === undefined) return true
      // Its number and timestamps continue above those of the last use, so the peer can tell them apart (RFC 6191).
      if (!reuse || !(entry instanceof TimeWait)) return false
      this.#forget(entry)
      return true
    }
    const port = localPort !== 0 ? (isFree(localPort, true) ? localPort : undefined) : this.#around.ports.choose(isFree)
    if (port === undefined) throw new TcpError('EADDRNOTAVAIL')
    const c = this.#create(local, port, remote, remotePort, hash, now)
    c.state = TcpState.SynSent
    c.idleAt = now + this.limits.connectMs
    sendSyn(c, now)
    this.touch(c)
    return c
  }

  addListener(listener: TcpListener): void {
    const others = this.#listeners.get(listener.port) ?? []
    if (others.some(({ address }) => address === listener.address)) throw new TcpError('EADDRINUSE', `port ${listener.port}`)
    this.#listeners.set(listener.port, [...others, listener])
  }

  listensAt(port: number): boolean {
    return this.#listeners.has(port)
  }

  removeListener(listener: TcpListener): void {
    const rest = (this.#listeners.get(listener.port) ?? []).filter((other) => other !== listener)
    if (rest.length === 0) this.#listeners.delete(listener.port)
    else this.#listeners.set(listener.port, rest)
    for (const connection of listener.halfOpen()) connection.abort(this.#around.now())
  }

  hasListener(port: number): boolean {
    return this.#listeners.has(port)
  }

  /** The connection that an ICMP error speaks of: addresses and ports as in the packet that it quotes, which we sent. */
  findQuoted(
    bytes: Uint8Array,
    source: number,
    destination: number,
    length: number,
    ports: DataView,
    at: number,
  ): TcpConnection | undefined {
    const localPort = ports.getUint16(at)
    const remotePort = ports.getUint16(at + 2)
    const hash = this.#table.hash(localPort, remotePort, bytes, destination, length)
    const entry = this.#table.find(hash, bytes, source, destination, length, localPort, remotePort)
    return entry instanceof TcpConnection ? entry : undefined
  }

  /** Connections whose peer has answered. */
  *synchronized(): Iterable<TcpConnection> {
    for (const entry of this.#table.values()) if (entry instanceof TcpConnection && isSynchronized(entry.state)) yield entry
  }

  /** The path's MTU changed: segments are cut anew, those in flight too. */
  refit(): void {
    for (const entry of this.#table.values()) if (entry instanceof TcpConnection) refit(entry)
  }

  /** The path has come back: what waits for a timeout that doubled again and again goes out now. */
  hasten(now: Instant): void {
    for (const entry of this.#table.values()) {
      if (!(entry instanceof TcpConnection) || entry.roundTrip.backoff === 0 || entry.retransmitAt <= now) continue
      entry.roundTrip.backoff = 0
      entry.retransmitAt = now
      expire(entry, now)
    }
  }

  /** The time that `expire` should be called at; Infinity: none. */
  get deadline(): number {
    return Math.min(
      this.#deadlines.earliest?.due ?? Number.POSITIVE_INFINITY,
      this.#timeWait.earliest?.expiresAt ?? Number.POSITIVE_INFINITY,
    )
  }

  expire(now: Instant): void {
    for (let c = this.#deadlines.takeDue(now); c !== undefined; c = this.#deadlines.takeDue(now)) {
      if (nextDeadline(c) <= now) expire(c, now)
      else this.#schedule(c)
    }
    for (
      let record = this.#timeWait.earliest;
      record !== undefined && record.expiresAt <= now;
      record = this.#timeWait.earliest
    ) {
      this.#forget(record)
    }
  }

  /** Gives every connection on the list its turn: tells its owner what happened, then sends what is to be sent. */
  serve(now: Instant): void {
    let done = 0
    try {
      while (done < this.#work.length) {
        this.#serveOne(this.#work[done++]!, now)
      }
    } finally {
      // An owner that throws must not keep the others from being served.
      this.#work.splice(0, done)
      if (this.#work.length > 0) this.#around.turn.want()
    }
  }

  /** Resets everything and closes every listener. */
  destroy(now: Instant): void {
    for (const entry of this.#table.values()) {
      if (entry instanceof TcpConnection) entry.abort(now)
      else this.#forget(entry)
    }
    for (const entry of this.#table.values()) if (entry instanceof TimeWait) this.#forget(entry)
    this.#listeners.clear()
  }

  /** Ends connections from addresses that are no longer ours. */
  dropFrom(isOurs: (address: InnerAddress) => boolean, now: Instant): void {
    for (const entry of this.#table.values()) {
      if (isOurs(entry.local)) continue
      if (entry instanceof TcpConnection) entry.close('EADDRNOTAVAIL', false, now)
      else this.#forget(entry)
    }
  }

  /** Resets every connection with `remote` at a local port that `isOpen` denies. */
  abortFrom(remote: Uint8Array, isOpen: (localPort: number) => boolean, now: Instant): void {
    for (const entry of this.#table.values())
      if (entry instanceof TcpConnection && !isOpen(entry.localPort) && sameAddress(entry.remote, remote)) entry.abort(now)
  }

  /**
   * Asks the peer of every connection that has said nothing after `since` whether it still knows it: one that does acknowledges, one that
   * does not resets it.
   */
  probe(since: number, now: number): void {
    for (const connection of this.synchronized()) if (connection.heardAt <= since) sendProbe(connection, now)
  }

  // TcpHost.

  segmentRoom(c: TcpConnection): number {
    const { transmitter } = this.#around
    return transmitter.mtu - transmitter.headerLength(c.remote) - TCP_HEADER_LENGTH
  }

  send(c: TcpConnection, sequence: number, flags: number, offset: number, length: number, now: number): void {
    writeSegment(c, this.#around.transmitter, sequence, flags, offset, length, now)
  }

  sendReset(c: TcpConnection, sequence: number): void {
    const flags = isSynchronized(c.state) ? TcpFlag.Rst | TcpFlag.Ack : TcpFlag.Rst
    writeSegment(c, this.#around.transmitter, sequence, flags, 0, 0, this.#around.now())
  }

  touch(c: TcpConnection): void {
    if (c.touched) return
    c.touched = true
    this.#work.push(c)
    this.#around.turn.want()
  }

  established(c: TcpConnection): void {
    c.listener?.remove(c)
  }

  finished(c: TcpConnection, timeWait: boolean, now: number): void {
    this.#deadlines.cancel(c)
    this.#table.delete(c)
    c.listener?.remove(c)
    if (!timeWait) return
    const oldest = this.#timeWait.size >= this.limits.timeWait ? this.#timeWait.earliest : undefined
    if (oldest !== undefined) this.#forget(oldest)
    const record = new TimeWait(c, now + this.limits.timeWaitMs)
    this.#table.add(record)
    this.#timeWait.add(record)
    this.#around.wake(instant(record.expiresAt))
  }

  #serveOne(c: TcpConnection, now: Instant): void {
    const { events, listener } = c
    c.events = 0
    try {
      if (listener !== undefined && (events & TcpEvent.Connected) !== 0) {
        c.listener = undefined
        if (c.state !== TcpState.Closed || c.finReceived) listener.accept(c)
      }
      if (events !== 0) c.owner?.notify(events)
    } finally {
      // What the owner did in answer is part of this turn.
      c.touched = false
    }
    if (c.state === TcpState.Closed) return
    output(c, now)
    this.#schedule(c)
  }

  /** Moves a deadline only where it became earlier: one that became later costs one early look, which is cheaper than a move per segment. */
  #schedule(c: TcpConnection): void {
    const at = nextDeadline(c)
    if (at === Number.POSITIVE_INFINITY || (c.slot >= 0 && c.due <= at)) return
    this.#deadlines.schedule(c, instant(at))
    this.#around.wake(instant(at))
  }

  #create(
    local: InnerAddress,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
    hash: number,
    now: Instant,
  ): TcpConnection {
    const pseudo = pseudoHeaderSum(local.bytes, remote, Protocol.Tcp)
    const c = new TcpConnection(this, local, localPort, remote, remotePort, hash, pseudo)
    const { number, timestampOffset } = this.#around.initialSequence.choose(local.bytes, localPort, remote, remotePort, now)
    c.begin(number, timestampOffset, now)
    this.#table.add(c)
    return c
  }

  /** LISTEN (RFC 9293 §3.10.7.2), and the nothing behind it (§3.10.7.1). */
  #arrivesAtListener(packet: IpPacket, bytes: Uint8Array, local: InnerAddress, hash: number, now: Instant): number {
    const s = this.#segment
    const listeners = this.#listeners.get(s.destinationPort)
    const listener =
      listeners?.find(({ address }) => address === local.text) ?? listeners?.find(({ address }) => address === undefined)
    if ((s.flags & TcpFlag.Rst) !== 0) return 0
    if (listener === undefined || (s.flags & (TcpFlag.Ack | TcpFlag.Syn)) !== TcpFlag.Syn) {
      if ((s.flags & (TcpFlag.Ack | TcpFlag.Syn)) === 0 && listener !== undefined) return 0
      if (!this.#around.mayAnswerStranger(now)) return DropReason.RateLimited
      sendBareReset(this.#around.transmitter, packet, bytes, s)
      return 0
    }
    const remote = Uint8Array.from(bytes.subarray(packet.source, packet.source + packet.addressLength))
    const { admitted, evict } = listener.room(remote)
    if (!admitted || this.connections >= this.limits.connections) return DropReason.QueueFull
    evict?.close('ETIMEDOUT', false, now)
    const c = this.#create(local, s.destinationPort, remote, s.sourcePort, hash, now)
    c.listener = listener
    listener.add(c)
    c.state = TcpState.SynReceived
    c.idleAt = now + this.limits.connectMs
    takeSyn(c, s, now)
    sendSyn(c, now)
    this.touch(c)
    return 0
  }

  #arrivesInTimeWait(record: TimeWait, now: Instant): void {
    const s = this.#segment
    // A reset here would let old duplicates end TIME-WAIT early (RFC 1337).
    if ((s.flags & TcpFlag.Rst) !== 0) return
    if ((s.flags & TcpFlag.Fin) !== 0) this.#timeWait.restart(record, now + this.limits.timeWaitMs)
    else if (s.length === 0 && (s.flags & TcpFlag.Syn) === 0) return
    if (this.#around.mayAnswerStranger(now)) answerTimeWait(this.#around.transmitter, record, s, now)
  }

  #forget(record: TimeWait | TcpConnection): void {
    this.#table.delete(record)
    if (record instanceof TimeWait) this.#timeWait.delete(record)
  }

  #find(
    hash: number,
    local: InnerAddress,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
  ): TcpConnection | TimeWait | undefined {
    const both = new Uint8Array(remote.length * 2)
    both.set(local.bytes)
    both.set(remote, remote.length)
    return this.#table.find(hash, both, 0, remote.length, remote.length, localPort, remotePort)
  }
}

/** Whether the packet goes to `address`. */
export const isFor = (address: InnerAddress, packet: IpPacket, bytes: Uint8Array): boolean =>
  address.bytes.length === packet.addressLength && standsAt(address.bytes, bytes, packet.destination)
