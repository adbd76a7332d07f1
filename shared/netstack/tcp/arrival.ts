import { acknowledge } from '#shared/netstack/tcp/acknowledgement.ts'
import { NEVER, type TcpConnection, WINDOW_SCALE } from '#shared/netstack/tcp/connection.ts'
import { TcpEvent } from '#shared/netstack/tcp/host.ts'
import { sendAcknowledgement, sendSyn } from '#shared/netstack/tcp/output.ts'
import { receive } from '#shared/netstack/tcp/receive.ts'
import { after, before, distance, plus } from '#shared/netstack/tcp/sequence.ts'
import { mayReceive, TcpState } from '#shared/netstack/tcp/state.ts'
import { TcpFlag, type TcpSegment } from '#shared/wire/tcp.ts'

/** Milliseconds between challenge acknowledgements of one connection (RFC 5961 §7 asks for a limit). */
const CHALLENGE_INTERVAL = 500

/** A timestamp older than this says nothing any more (RFC 7323 §5.5: 24 days). */
const TIMESTAMP_LIFETIME = 24 * 86_400_000

/** Least MSS believed, bytes: a smaller one would only make us work (RFC 9293 §3.7.1 leaves the floor to us; Linux has 48, then 536 by default route). */
const LEAST_MSS = 216

/** SEGMENT ARRIVES for every state (RFC 9293 §3.10.7). `bytes` is the packet, borrowed. */
export function segmentArrives(c: TcpConnection, s: TcpSegment, bytes: Uint8Array, now: number): void {
  c.host.touch(c)
  if (c.state === TcpState.SynSent) {
    arrivesInSynSent(c, s, now)
    return
  }
  c.heardAt = now
  c.keepAliveProbes = 0
  if (!isTimely(c, s, now) || !isInWindow(c, s, now)) return
  if ((s.flags & TcpFlag.Rst) !== 0) {
    arrivesReset(c, s, now)
    return
  }
  if ((s.flags & TcpFlag.Syn) !== 0 && !isSimultaneousAnswer(c, s)) {
    arrivesSyn(c, s, now)
    return
  }
  if ((s.flags & TcpFlag.Ack) === 0) return
  if (c.timestamps && s.hasTimestamps && !after(s.sequence, c.lastAckSent) && !before(s.timestamp, c.recentTimestamp)) {
    c.recentTimestamp = s.timestamp
    c.recentTimestampAt = now
  }
  if (!takeAcknowledgement(c, s, now)) return
  if (s.length > 0) arrivesData(c, s, bytes, now)
  if ((s.flags & TcpFlag.Fin) !== 0) arrivesFin(c, s)
  takeFin(c, now)
}

/** What a SYN of the peer says, in either direction of opening. */
export function takeSyn(c: TcpConnection, s: TcpSegment, now: number): void {
  c.peerInitial = s.sequence
  c.received = plus(s.sequence, 1)
  c.lastAckSent = c.received
  c.advertised = plus(c.received, Math.min(c.receiveLimit, 65_535))
  if (s.mss > 0) c.peerMss = Math.max(LEAST_MSS, s.mss)
  c.sackAllowed = s.sackPermitted
  c.timestamps = s.hasTimestamps
  c.recentTimestamp = s.timestamp
  c.recentTimestampAt = now
  // Scaling holds only if both ends offer it; the window of a SYN itself is never scaled (RFC 7323 §2.2).
  c.windowScale = s.windowScale < 0 ? 0 : s.windowScale
  c.receiveScale = s.windowScale < 0 ? 0 : WINDOW_SCALE
  if (s.windowScale < 0) c.receiveLimit = Math.min(c.receiveLimit, 65_535)
  c.window = s.window
  c.largestWindow = s.window
  c.windowSequence = s.sequence
  c.windowAcknowledgement = s.acknowledgement
  c.tunedAt = now
  c.fitSegments()
}

function arrivesInSynSent(c: TcpConnection, s: TcpSegment, now: number): void {
  const hasAck = (s.flags & TcpFlag.Ack) !== 0
  if (hasAck && (!after(s.acknowledgement, c.initial) || after(s.acknowledgement, c.next))) {
    if ((s.flags & TcpFlag.Rst) === 0) c.host.sendReset(c, s.acknowledgement)
    return
  }
  if ((s.flags & TcpFlag.Rst) !== 0) {
    if (hasAck) c.close('ECONNREFUSED', false, now)
    return
  }
  if ((s.flags & TcpFlag.Syn) === 0) return
  takeSyn(c, s, now)
  if (!hasAck) {
    // Both ends opened at once (RFC 9293 §3.5, figure 8).
    c.state = TcpState.SynReceived
    sendSyn(c, now)
    return
  }
  acknowledge(c, s, now)
  establish(c, now)
  c.ackNow = true
}

function establish(c: TcpConnection, now: number): void {
  c.state = TcpState.Established
  c.idleAt = c.keepAliveMs > 0 ? now + c.keepAliveMs : NEVER
  c.recoveryPoint = c.una
  c.events |= TcpEvent.Connected
  c.host.established(c)
}

/** PAWS (RFC 7323 §5). */
function isTimely(c: TcpConnection, s: TcpSegment, now: number): boolean {
  if (!c.timestamps || (s.flags & TcpFlag.Rst) !== 0) return true
  if (!s.hasTimestamps) return (s.flags & TcpFlag.Syn) !== 0
  if (!before(s.timestamp, c.recentTimestamp) || now - c.recentTimestampAt > TIMESTAMP_LIFETIME) return true
  // Bare acknowledgements that overtook one another look old, but what they say of delivery is worth hearing.
  const bare = s.length === 0 && (s.flags & (TcpFlag.Syn | TcpFlag.Fin)) === 0 && s.sequence === c.received
  if (bare && distance(c.recentTimestamp, s.timestamp) <= c.roundTrip.timeout) return true
  if (s.length > 0 && before(s.sequence, c.received)) reportOld(c, s)
  else challenge(c, now)
  return false
}

/** First: the sequence number. A segment wholly before or after the window is answered and dropped. */
function isInWindow(c: TcpConnection, s: TcpSegment, now: number): boolean {
  const occupied = s.length + (s.flags & TcpFlag.Fin) + ((s.flags & TcpFlag.Syn) >> 1)
  const end = plus(s.sequence, occupied)
  if (!before(end, c.received) && !after(s.sequence, c.advertised)) return true
  if ((s.flags & TcpFlag.Rst) !== 0) return false
  if (s.length > 0 && before(s.sequence, c.received)) reportOld(c, s)
  else challenge(c, now)
  return false
}

/** Data that we have is being sent again: our acknowledgement was lost, so it is repeated at once. */
function reportOld(c: TcpConnection, s: TcpSegment): void {
  c.ackNow = true
  if (!c.sackAllowed) return
  c.dsack = true
  c.dsackStart = s.sequence
  c.dsackEnd = plus(s.sequence, s.length)
}

/** An acknowledgement that only the true peer can make use of (RFC 5961 §3 to §5). */
function challenge(c: TcpConnection, now: number): void {
  if (now - c.challengedAt < CHALLENGE_INTERVAL) return
  c.challengedAt = now
  c.ackNow = true
}

/** Second: RST counts only at exactly the next number; elsewhere in the window it is challenged. */
function arrivesReset(c: TcpConnection, s: TcpSegment, now: number): void {
  if (s.sequence !== c.received) challenge(c, now)
  else if (c.state === TcpState.SynReceived) c.close('ECONNREFUSED', false, now)
  else c.close('ECONNRESET', false, now)
}

/** Fourth: a SYN in a synchronised state is challenged; the peer's SYN repeated asks for our SYN-ACK again. */
function arrivesSyn(c: TcpConnection, s: TcpSegment, now: number): void {
  if (c.state === TcpState.SynReceived && s.sequence === c.peerInitial) sendSyn(c, now)
  else challenge(c, now)
}

/** The SYN-ACK that answers our SYN where both ends opened at once: its SYN is known, its acknowledgement is news. */
function isSimultaneousAnswer(c: TcpConnection, s: TcpSegment): boolean {
  return (
    c.state === TcpState.SynReceived &&
    s.sequence === c.peerInitial &&
    (s.flags & TcpFlag.Ack) !== 0 &&
    s.acknowledgement === c.next
  )
}

/** Fifth: the ACK. False where the segment goes no further. */
function takeAcknowledgement(c: TcpConnection, s: TcpSegment, now: number): boolean {
  if (c.state === TcpState.SynReceived) {
    if (!after(s.acknowledgement, c.una) || after(s.acknowledgement, c.next)) {
      c.host.sendReset(c, s.acknowledgement)
      return false
    }
    acknowledge(c, s, now)
    // The window of this segment counts, whatever the SYN's own number was.
    c.window = s.window << ((s.flags & TcpFlag.Syn) !== 0 ? 0 : c.windowScale)
    c.largestWindow = Math.max(c.largestWindow, c.window)
    establish(c, now)
    return (s.flags & TcpFlag.Syn) === 0
  }
  if (after(s.acknowledgement, c.next) || distance(c.una, s.acknowledgement) > Math.max(c.largestWindow, 65_535)) {
    challenge(c, now)
    return false
  }
  acknowledge(c, s, now)
  if (!c.finSent || c.una !== c.next) return true
  if (c.state === TcpState.FinWait1) {
    c.state = TcpState.FinWait2
    // A program that has gone reads no more: the peer gets some time to finish too.
    if (c.owner === undefined) c.idleAt = now + c.host.limits.timeWaitMs
  } else if (c.state === TcpState.Closing) c.close(undefined, true, now)
  else if (c.state === TcpState.LastAck) c.close(undefined, false, now)
  return c.state === TcpState.FinWait2
}

/** Seventh: the payload. What nobody will read is answered with a reset, so that the peer stops (RFC 9293 §3.10.7.4, RFC 2525 §2.17). */
function arrivesData(c: TcpConnection, s: TcpSegment, bytes: Uint8Array, now: number): void {
  if (!mayReceive(c.state) || c.finReceived) return
  if (c.owner === undefined && c.listener === undefined && after(plus(s.sequence, s.length), c.received)) {
    c.abort(now)
    return
  }
  receive(c, s, bytes, now)
}

/** Eighth: FIN, possibly before the data that it follows. */
function arrivesFin(c: TcpConnection, s: TcpSegment): void {
  c.ackNow = true
  if (c.finSeen || !mayReceive(c.state)) return
  c.finSeen = true
  c.finSequence = plus(s.sequence, s.length)
}

function takeFin(c: TcpConnection, now: number): void {
  if (!c.finSeen || c.finReceived || c.received !== c.finSequence) return
  c.finReceived = true
  c.received = plus(c.received, 1)
  c.ackNow = true
  c.events |= TcpEvent.Readable
  if (c.state === TcpState.Established) c.state = TcpState.CloseWait
  else if (c.state === TcpState.FinWait1) c.state = TcpState.Closing
  else if (c.state === TcpState.FinWait2) {
    sendAcknowledgement(c, now)
    c.close(undefined, true, now)
  }
}
