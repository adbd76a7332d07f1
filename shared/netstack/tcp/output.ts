import type { TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { armProbe } from '#shared/netstack/tcp/probe.ts'
import { SentFlag, type SentSegment } from '#shared/netstack/tcp/sent-segment.ts'
import { after, distance, later, plus } from '#shared/netstack/tcp/sequence.ts'
import { isSynchronized, mayReceive, maySend, TcpState } from '#shared/netstack/tcp/state.ts'
import { TcpFlag } from '#shared/wire/tcp.ts'

/**
 * What a connection sends (RFC 9293 §3.10.2 and §3.8.6), in this order: 1. lost segments again, 2. new data as far as the peer's window,
 * the congestion window and Nagle allow, 3. FIN, 4. an acknowledgement, if one is due and none of these carried it.
 */
export function output(c: TcpConnection, now: number): void {
  if (maySend(c.state)) {
    c.congestionLimited = false
    let sent = sendLost(c, now)
    if (c.sent.lost === 0 && sendNew(c, now, false)) sent = true
    if (sent) armProbe(c, now)
    armRetransmission(c, now)
  }
  if (windowUpdateIsDue(c)) c.ackNow = true
  if (c.ackNow && isSynchronized(c.state)) sendAcknowledgement(c, now)
}

/** A segment without data: acknowledges, and tells the window. */
export function sendAcknowledgement(c: TcpConnection, now: number): void {
  c.host.send(c, c.next, TcpFlag.Ack, 0, 0, now)
}

/** SYN, or SYN and ACK where the peer's SYN has come; for the first time or again. */
export function sendSyn(c: TcpConnection, now: number): void {
  const flags = c.state === TcpState.SynSent ? TcpFlag.Syn : TcpFlag.Syn | TcpFlag.Ack
  if (c.sent.count === 0) {
    c.sent.push(c.initial, plus(c.initial, 1), SentFlag.Syn, now)
    c.next = plus(c.initial, 1)
  } else c.sent.resent(c.sent.first!, now)
  c.retransmitAt = now + c.roundTrip.retransmitTimeout
  c.host.send(c, c.initial, flags, 0, 0, now)
}

/** Sends one segment again, cut to the present segment size. */
export function resend(c: TcpConnection, segment: SentSegment, now: number): void {
  if (distance(segment.end, segment.start) > c.mss + 1) c.sent.split(segment, c.mss)
  const fin = (segment.flags & SentFlag.Fin) !== 0
  const length = distance(segment.end, segment.start) - (fin ? 1 : 0)
  const flags = TcpFlag.Ack | (fin ? TcpFlag.Fin : 0) | (segment.end === c.queued ? TcpFlag.Psh : 0)
  c.sent.resent(segment, now)
  c.prrSent += length
  if (c.undoable >= 0) c.undoable++
  c.lastSentAt = now
  c.host.send(c, segment.start, flags, distance(segment.start, bufferStart(c)), length, now)
}

function sendLost(c: TcpConnection, now: number): boolean {
  const queue = c.sent
  let sent = false
  while (queue.lost > 0) {
    const segment = queue.firstLost()!
    const size = Math.min(c.mss, distance(segment.end, segment.start))
    if (queue.pipe > 0 && queue.pipe + size > c.congestion.window) {
      c.congestionLimited = true
      break
    }
    resend(c, segment, now)
    sent = true
  }
  return sent
}

/** Sends what may be sent; with `forced` one segment, whatever its size and the congestion window. True if anything went. */
export function sendNew(c: TcpConnection, now: number, forced: boolean): boolean {
  const queue = c.sent
  let sent = false
  if (queue.count === 0 && c.unsent > 0 && c.roundTrip.known && now - c.lastSentAt > c.roundTrip.timeout) {
    c.congestion.restartAfterIdle()
  }
  for (;;) {
    const unsent = c.unsent
    const finOnly = unsent === 0 && c.finQueued && !c.finSent
    if (unsent === 0 && !finOnly) break
    const usable = distance(plus(c.una, c.window), c.next)
    const length = Math.min(unsent, c.mss, usable)
    if (length < 0 || (length === 0 && !finOnly)) break
    if (length < c.mss && !finOnly && !forced && !smallIsAllowed(c, length, unsent)) break
    if (!forced && queue.pipe > 0 && queue.pipe + length > c.congestion.window) {
      c.congestionLimited = true
      break
    }
    const last = length === unsent
    const fin = last && c.finQueued && (usable > length || queue.count === 0)
    if (finOnly && !fin) break
    sendOne(c, length, last, fin, now)
    sent = true
    if (forced) break
  }
  return sent
}

function sendOne(c: TcpConnection, length: number, last: boolean, fin: boolean, now: number): void {
  const start = c.next
  const end = plus(start, length + (fin ? 1 : 0))
  if (c.sent.count === 0) {
    // The clock may have run for a shut window until now.
    c.roundTrip.backoff = 0
    c.retransmitAt = now + c.roundTrip.timeout
  }
  c.sent.push(start, end, fin ? SentFlag.Fin : 0, now)
  c.next = end
  if (length < c.mss) c.smallEnd = end
  c.prrSent += length
  c.lastSentAt = now
  const flags = TcpFlag.Ack | (last ? TcpFlag.Psh : 0) | (fin ? TcpFlag.Fin : 0)
  if (fin) {
    c.finSent = true
    c.state = c.state === TcpState.CloseWait ? TcpState.LastAck : TcpState.FinWait1
  }
  c.host.send(c, start, flags, distance(start, bufferStart(c)), length, now)
}

/** Nagle in Minshall's form, and the sender's side of silly-window avoidance (RFC 9293 §3.7.4, §3.8.6.2.1). */
function smallIsAllowed(c: TcpConnection, length: number, unsent: number): boolean {
  if (length < unsent) return length >= c.largestWindow >> 1
  return c.noDelay || c.finQueued || !after(c.smallEnd, c.una)
}

/** The sequence number of the oldest byte in the send buffer. */
export const bufferStart = (c: TcpConnection): number => later(c.una, plus(c.initial, 1))

/** Something in flight: RTO. Nothing in flight though there is something to send: persist, by the same clock. Else nothing. */
function armRetransmission(c: TcpConnection, now: number): void {
  const waiting = c.sent.count > 0 || c.unsent > 0 || (c.finQueued && !c.finSent)
  if (!waiting) c.retransmitAt = Number.POSITIVE_INFINITY
  else if (c.retransmitAt === Number.POSITIVE_INFINITY) c.retransmitAt = now + c.roundTrip.retransmitTimeout
}

/** The program took so much that the peer should hear of it, though nothing else is to be said. */
function windowUpdateIsDue(c: TcpConnection): boolean {
  if (!mayReceive(c.state) || c.finReceived) return false
  const left = distance(c.advertised, c.received)
  return left < c.receiveLimit >> 1 && distance(c.rightEdge(), c.advertised) >= Math.max(c.mss, c.receiveLimit >> 2)
}
