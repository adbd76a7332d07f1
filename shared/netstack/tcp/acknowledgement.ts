import { NEVER, Phase, type TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { TcpEvent } from '#shared/netstack/tcp/host.ts'
import { bufferStart } from '#shared/netstack/tcp/output.ts'
import { armProbe, armReordering } from '#shared/netstack/tcp/probe.ts'
import { enterRecovery, leaveRecovery, reduceProportionally, undoReduction } from '#shared/netstack/tcp/recovery.ts'
import { returnSentSegment, SentFlag, type SentSegment } from '#shared/netstack/tcp/sent-segment.ts'
import { after, before, distance } from '#shared/netstack/tcp/sequence.ts'
import type { TcpSegment } from '#shared/wire/tcp.ts'

/**
 * What an acceptable acknowledgement does to the sender (RFC 9293 §3.10.7.4, fifth): 1. what it delivered leaves the queue, 2. the peer's
 * window, 3. what is lost, 4. what recovery or congestion control make of it, 5. timers.
 */
export function acknowledge(c: TcpConnection, s: TcpSegment, now: number): void {
  const advanced = after(s.acknowledgement, c.una)
  const outstanding = c.sent.count > 0
  let delivered = advanced ? advance(c, s.acknowledgement, now) : 0
  if (advanced && c.eifel) judgeTimeout(c, s)
  if (c.sackAllowed && s.sackCount > 0) delivered += applySacks(c, s, now)
  const sameWindow = takeWindow(c, s)
  if (c.probing && !before(c.una, c.probeEnd)) endProbe(c)
  if (!outstanding) return

  if (!c.sackAllowed) countDuplicates(c, s, advanced, sameWindow)
  const recovering = c.phase !== Phase.Open
  const until = recovering ? c.recoveryPoint : c.una
  const wait = c.rack.detect(c.sent, c.una, until, now, recovering, c.roundTrip)

  if (recovering && advanced && !before(c.una, c.recoveryPoint)) leaveRecovery(c)
  if (c.phase === Phase.Open && c.sent.lost > 0) enterRecovery(c)
  if (c.phase === Phase.Recovery) reduceProportionally(c, delivered, advanced)
  else if (delivered > 0 && (c.congestionLimited || c.phase === Phase.Loss)) {
    c.congestion.acknowledged(delivered, Math.max(0, c.roundTrip.smoothed), now)
  }

  if (wait !== NEVER) armReordering(c, wait, now)
  else if (delivered > 0) armProbe(c, now)
  c.host.touch(c)
}

/** The peer has everything before `acknowledged`. Returns the bytes that were newly delivered. */
function advance(c: TcpConnection, acknowledged: number, now: number): number {
  const least = c.roundTrip.least
  let delivered = 0
  let sample = -1
  for (let segment = c.sent.shift(acknowledged); segment !== undefined; segment = c.sent.shift(acknowledged)) {
    if ((segment.flags & SentFlag.Sacked) === 0) {
      delivered += distance(segment.end, segment.start)
      c.rack.delivered(segment, now, least)
      // Karn: the answer to a retransmission may be the answer to the original.
      if ((segment.flags & SentFlag.Retransmitted) === 0) sample = now - segment.sentAt
    }
    returnSentSegment(segment)
  }
  if (sample >= 0) c.roundTrip.sample(sample, now)
  const bytes = Math.min(c.sendBuffer?.length ?? 0, distance(acknowledged, bufferStart(c)))
  if (bytes > 0) c.dropSent(bytes)
  c.una = acknowledged
  if (before(c.smallEnd, acknowledged)) c.smallEnd = acknowledged
  c.roundTrip.backoff = 0
  c.probes = 0
  c.stalledSince = NEVER
  c.retransmitAt = c.sent.count > 0 ? now + c.roundTrip.timeout : NEVER
  growSendLimit(c)
  if (c.blocked && (c.sendBuffer?.length ?? 0) <= c.sendLimit - (c.sendLimit >> 2)) {
    c.blocked = false
    c.events |= TcpEvent.Writable
  }
  return delivered
}

/** Twice the congestion window keeps the sender busy while a window's acknowledgements come back. */
function growSendLimit(c: TcpConnection): void {
  const limits = c.host.limits
  if (c.sendLimit >= limits.sendBuffer || c.congestion.window * 2 <= c.sendLimit) return
  if (c.host.heldBytes < limits.totalBuffer) c.sendLimit = Math.min(limits.sendBuffer, c.sendLimit * 2)
}

/** Marks what the SACK blocks name; a first block that repeats what the peer already had is a DSACK (RFC 2883). */
function applySacks(c: TcpConnection, s: TcpSegment, now: number): number {
  const sacks = s.sacks
  let from = 0
  const repeats = !after(sacks[1]!, s.acknowledgement)
  const inside = s.sackCount > 1 && !before(sacks[0]!, sacks[2]!) && !after(sacks[1]!, sacks[3]!)
  if (repeats || inside) {
    from = 1
    reportedTwice(c)
  }
  let highest = c.una
  for (let i = from; i < s.sackCount; i++) {
    const end = sacks[2 * i + 1]!
    if (after(end, c.next) || !after(end, sacks[2 * i]!)) return 0
    if (after(end, highest)) highest = end
  }
  let delivered = 0
  const least = c.roundTrip.least
  for (let segment = c.sent.first; segment !== undefined && before(segment.start, highest); segment = segment.next) {
    if ((segment.flags & SentFlag.Sacked) !== 0 || !covers(s, from, segment)) continue
    delivered += distance(segment.end, segment.start)
    c.sent.markSacked(segment)
    c.rack.delivered(segment, now, least)
  }
  return delivered
}

function covers(s: TcpSegment, from: number, segment: SentSegment): boolean {
  for (let i = from; i < s.sackCount; i++) {
    if (!before(segment.start, s.sacks[2 * i]!) && !after(segment.end, s.sacks[2 * i + 1]!)) return true
  }
  return false
}

/** The peer got something twice: a retransmission of ours was not needed. When none was, the reduction is undone. */
function reportedTwice(c: TcpConnection): void {
  if (c.probing && c.probeRetransmitted) {
    c.probing = false
    return
  }
  c.rack.spurious(c.una, c.next)
  if (c.undoable > 0 && --c.undoable === 0) undoReduction(c)
}

/** True where the segment says nothing new about the window. */
function takeWindow(c: TcpConnection, s: TcpSegment): boolean {
  const newer = after(s.sequence, c.windowSequence)
  if (!newer && (s.sequence !== c.windowSequence || before(s.acknowledgement, c.windowAcknowledgement))) return true
  const window = s.window << c.windowScale
  const same = window === c.window
  c.window = window
  c.windowSequence = s.sequence
  c.windowAcknowledgement = s.acknowledgement
  if (window > c.largestWindow) c.largestWindow = window
  if (!same) c.host.touch(c)
  return same
}

/** The acknowledgement that covers a probe: if the probe was a retransmission, a loss was repaired by it (RFC 8985 §7.4.2). */
function endProbe(c: TcpConnection): void {
  c.probing = false
  if (!c.probeRetransmitted || c.phase !== Phase.Open) return
  c.congestion.reduce()
  c.congestion.window = c.congestion.threshold
}

/** A peer without SACK: three duplicates, or a partial acknowledgement in recovery, mean that the first segment is lost (RFC 6582). */
function countDuplicates(c: TcpConnection, s: TcpSegment, advanced: boolean, sameWindow: boolean): void {
  if (advanced) c.duplicates = 0
  else if (s.length === 0 && sameWindow && s.acknowledgement === c.una) c.duplicates++
  const first = c.sent.first
  if (first === undefined) return
  const partial = advanced && c.phase === Phase.Recovery && before(c.una, c.recoveryPoint)
  if (partial || (c.duplicates === 3 && c.phase === Phase.Open)) c.sent.markLost(first)
}

/** Eifel (RFC 3522): the first answer after a timeout tells by its timestamp whether it answers the original. */
function judgeTimeout(c: TcpConnection, s: TcpSegment): void {
  c.eifel = false
  if (!s.hasTimestamps || !before(s.timestampEcho, c.eifelTimestamp)) return
  undoReduction(c)
}
