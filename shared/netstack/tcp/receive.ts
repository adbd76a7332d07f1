import { NEVER, type TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { TcpEvent } from '#shared/netstack/tcp/host.ts'
import { sendAcknowledgement } from '#shared/netstack/tcp/output.ts'
import { ReceiveQueue } from '#shared/netstack/tcp/receive-queue.ts'
import { after, before, distance, plus } from '#shared/netstack/tcp/sequence.ts'
import { TcpFlag, type TcpSegment } from '#shared/wire/tcp.ts'

/** Longest wait for something that carries the acknowledgement, ms (RFC 1122 §4.2.3.2 allows 500). */
const DELAY = 40

/** Segments that may go unacknowledged within one batch of input. */
const MOST_UNACKNOWLEDGED = 16

/** Segments answered at once after a gap, so that the sender's recovery sees everything. */
const QUICK = 16

/** A second without this much reading, ms, and the window stays as it is. */
const TUNING_INTERVAL = 1_000

/** Takes the payload of an acceptable segment (RFC 9293 §3.10.7.4, seventh); `bytes` is the packet that it lies in. */
export function receive(c: TcpConnection, s: TcpSegment, bytes: Uint8Array, now: number): void {
  let start = s.sequence
  let end = plus(start, s.length)
  let from = s.payload
  if (before(start, c.received)) {
    reportDuplicate(c, start, after(end, c.received) ? c.received : end)
    if (!after(end, c.received)) return
    from += distance(c.received, start)
    start = c.received
  }
  if (after(end, c.advertised)) {
    end = c.advertised
    c.ackNow = true
    if (!after(end, start)) return
  }
  c.receiveQueue ??= new ReceiveQueue()
  if (start === c.received) inOrder(c, c.receiveQueue, s, bytes, from, distance(end, start), now)
  else outOfOrder(c, c.receiveQueue, start, end, bytes, from)
}

function inOrder(
  c: TcpConnection,
  queue: ReceiveQueue,
  s: TcpSegment,
  bytes: Uint8Array,
  from: number,
  count: number,
  now: number,
): void {
  growWindow(c, now)
  queue.append(bytes, from, count)
  queue.pushed = (s.flags & TcpFlag.Psh) !== 0
  c.host.heldBytes += count
  c.received = plus(c.received, count)
  if (!queue.reassembly.isEmpty) {
    const before = queue.reassembly.bytes + queue.ready
    c.received = queue.reassembly.release(c.received, (piece) => queue.appendPiece(piece))
    c.host.heldBytes += queue.reassembly.bytes + queue.ready - before
    c.ackNow = true
  }
  c.events |= TcpEvent.Readable
  c.unacknowledged++
  if (c.quickAcks > 0) {
    c.quickAcks--
    c.ackNow = true
  } else if (c.unacknowledged >= 2) c.ackNow = true
  else if (c.acknowledgeAt === NEVER) c.acknowledgeAt = now + DELAY
  if (c.unacknowledged >= MOST_UNACKNOWLEDGED) sendAcknowledgement(c, now)
}

function outOfOrder(c: TcpConnection, queue: ReceiveQueue, start: number, end: number, bytes: Uint8Array, from: number): void {
  const fresh = queue.reassembly.insert(start, end, bytes, from)
  c.host.heldBytes += fresh
  if (fresh === 0) reportDuplicate(c, start, end)
  c.ackNow = true
  c.quickAcks = QUICK
}

/** The next acknowledgement says that these came twice (RFC 2883). */
function reportDuplicate(c: TcpConnection, start: number, end: number): void {
  c.ackNow = true
  if (!c.sackAllowed) return
  c.dsack = true
  c.dsackStart = start
  c.dsackEnd = end
}

/** A program that reads a whole window within a second gets twice the window, as long as the stack has memory. */
function growWindow(c: TcpConnection, now: number): void {
  if (c.taken < c.receiveLimit) return
  const limits = c.host.limits
  if (now - c.tunedAt < TUNING_INTERVAL && c.receiveLimit < limits.receiveBuffer && c.host.heldBytes < limits.totalBuffer) {
    c.receiveLimit = Math.min(limits.receiveBuffer, c.receiveLimit * 2)
  }
  c.taken = 0
  c.tunedAt = now
}
