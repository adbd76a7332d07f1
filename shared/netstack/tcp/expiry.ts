import { KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, NEVER, Phase, type TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { output, resend, sendNew, sendSyn } from '#shared/netstack/tcp/output.ts'
import { armProbe, armReordering } from '#shared/netstack/tcp/probe.ts'
import { collapse, enterRecovery, reduceProportionally } from '#shared/netstack/tcp/recovery.ts'
import { SentFlag, type SentSegment } from '#shared/netstack/tcp/sent-segment.ts'
import { plus } from '#shared/netstack/tcp/sequence.ts'
import { TcpState } from '#shared/netstack/tcp/state.ts'
import { TcpFlag } from '#shared/wire/tcp.ts'

/** Doublings of the timeout beyond which it does not grow. */
const MOST_BACKOFF = 12

/** The earliest of a connection's timers, ms. */
export function nextDeadline(c: TcpConnection): number {
  return Math.min(c.retransmitAt, c.probeAt, c.acknowledgeAt, c.idleAt)
}

/** Runs the timers that are due. */
export function expire(c: TcpConnection, now: number): void {
  if (c.acknowledgeAt <= now) {
    c.acknowledgeAt = NEVER
    c.ackNow = true
  }
  if (c.idleAt <= now) idle(c, now)
  if (c.state !== TcpState.Closed && c.probeAt <= now) probe(c, now)
  if (c.state !== TcpState.Closed && c.retransmitAt <= now) retransmit(c, now)
  c.host.touch(c)
}

function retransmit(c: TcpConnection, now: number): void {
  if (c.stalledSince === NEVER) c.stalledSince = now
  if (now - c.stalledSince > c.host.limits.giveUpMs) {
    c.host.sendReset(c, c.next)
    c.close('ETIMEDOUT', false, now)
    return
  }
  c.roundTrip.backoff = Math.min(MOST_BACKOFF, c.roundTrip.backoff + 1)
  c.retransmitAt = now + c.roundTrip.retransmitTimeout
  if (c.state === TcpState.SynSent || c.state === TcpState.SynReceived) sendSyn(c, now)
  else if (c.sent.count === 0) persist(c, now)
  else {
    collapse(c, now)
    output(c, now)
  }
}

/** The peer's window is shut, or too small to be worth a segment: fill what there is, else ask (RFC 9293 §3.8.6.1). */
function persist(c: TcpConnection, now: number): void {
  // A peer that answers with a shut window is alive: this is no stall.
  if (now - c.heardAt < c.host.limits.giveUpMs) c.stalledSince = NEVER
  if (sendNew(c, now, true)) return
  sendProbe(c, now)
}

/** A segment before the window: whoever is there must answer it with the number and window it expects. */
export function sendProbe(c: TcpConnection, now: number): void {
  c.host.send(c, plus(c.una, -1), TcpFlag.Ack, 0, 0, now)
}

function probe(c: TcpConnection, now: number): void {
  c.probeAt = NEVER
  if (c.probeIsReordering) {
    const until = c.phase === Phase.Open ? c.una : c.recoveryPoint
    const wait = c.rack.detect(c.sent, c.una, until, now, c.phase !== Phase.Open, c.roundTrip)
    if (c.sent.lost > 0) {
      if (c.phase === Phase.Open) enterRecovery(c)
      if (c.phase === Phase.Recovery) reduceProportionally(c, 0, false)
    }
    if (wait === NEVER) armProbe(c, now)
    else armReordering(c, wait, now)
    return
  }
  probeTail(c, now)
}

/** Tail loss probe (RFC 8985 §7.3): new data if there is some, else the last segment; during recovery the first that is missing. */
function probeTail(c: TcpConnection, now: number): void {
  c.probes++
  const open = c.phase === Phase.Open
  c.probeRetransmitted = false
  if (!open || !sendNew(c, now, true)) {
    const segment = open ? c.sent.last : firstMissing(c)
    if (segment === undefined) return
    c.probeRetransmitted = true
    resend(c, segment, now)
  }
  if (open) {
    c.probing = true
    c.probeEnd = c.next
  }
  c.retransmitAt = now + c.roundTrip.retransmitTimeout
  armProbe(c, now)
}

function firstMissing(c: TcpConnection): SentSegment | undefined {
  let segment = c.sent.first
  while (segment !== undefined && (segment.flags & SentFlag.Sacked) !== 0) segment = segment.next
  return segment
}

/** Handshake too long, keepalive, or an orphan whose peer does not finish. */
function idle(c: TcpConnection, now: number): void {
  c.idleAt = NEVER
  if (c.state === TcpState.SynSent || c.state === TcpState.SynReceived) {
    c.close('ETIMEDOUT', false, now)
    return
  }
  if (c.owner === undefined) {
    if (c.state === TcpState.FinWait2) c.close(undefined, false, now)
    return
  }
  if (c.keepAliveMs === 0) return
  const quiet = now - c.heardAt
  if (quiet < c.keepAliveMs && c.keepAliveProbes === 0) {
    c.idleAt = c.heardAt + c.keepAliveMs
    return
  }
  if (c.keepAliveProbes >= KEEPALIVE_PROBES) {
    c.host.sendReset(c, c.next)
    c.close('ETIMEDOUT', false, now)
    return
  }
  c.keepAliveProbes++
  sendProbe(c, now)
  c.idleAt = now + Math.min(KEEPALIVE_INTERVAL, c.keepAliveMs)
}
