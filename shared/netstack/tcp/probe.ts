import { NEVER, type TcpConnection } from '#shared/netstack/tcp/connection.ts'

/** Added to two round trips, ms: our timers' coarseness, and how long a peer may sit on the acknowledgement of a lone segment. */
const COARSENESS = 2
const DELAYED_ACKNOWLEDGEMENT = 50

/** Probes without progress; then the retransmission timeout decides. */
const MAX_PROBES = 2

/** Bytes in flight at most, of a person's typing: to say them twice costs less than to let the person wait. */
const TYPED = 256
/** Added to one round trip for what was typed, ms, where round trips hardly vary. */
const TYPED_PATIENCE = 10
/** A round trip that a person feels, ms. */
const FELT = 50

/**
 * Arms the tail loss probe (RFC 8985 §7.2). Unlike there it is armed during recovery too, twice at most without progress: at the small windows
 * that heavy loss leaves, a retransmission that is lost again often has nothing behind it that would betray the loss.
 */
export function armProbe(c: TcpConnection, now: number): void {
  c.probeIsReordering = false
  c.probeAt = NEVER
  if (c.sent.count === 0 || !c.sackAllowed || !c.roundTrip.known || c.probes >= MAX_PROBES) return
  const at = now + patience(c) * 2 ** c.probes
  if (at < c.retransmitAt) c.probeAt = at
}

/**
 * How long the first probe waits, ms. What was typed is said again as soon as its echo is late: on a path that loses, the echo then comes
 * after little more than two round trips. Only where nothing was lost and nobody echoed was that in vain.
 */
function patience({ sent, unsent, roundTrip }: TcpConnection): number {
  const { smoothed, variation } = roundTrip
  if (unsent === 0 && sent.pipe <= TYPED && smoothed >= FELT)
    return smoothed + Math.min(smoothed, Math.max(TYPED_PATIENCE, 4 * variation))
  // A probe of new data is never in vain, so it need not wait for a peer that may be sitting on the acknowledgement.
  return 2 * smoothed + (sent.count === 1 && unsent === 0 ? DELAYED_ACKNOWLEDGEMENT : COARSENESS)
}

/** RACK must look again after `wait` ms: that comes before any probe. */
export function armReordering(c: TcpConnection, wait: number, now: number): void {
  c.probeIsReordering = true
  c.probeAt = now + wait
}
