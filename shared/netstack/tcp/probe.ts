import { NEVER, type TcpConnection } from '#shared/netstack/tcp/connection.ts'

/** Added to two round trips, ms: our timers' coarseness, and how long a peer may sit on the acknowledgement of a lone segment. */
const COARSENESS = 2
const DELAYED_ACKNOWLEDGEMENT = 50

/** Probes without progress; then the retransmission timeout decides. */
const MAX_PROBES = 2

/**
 * Arms the tail loss probe (RFC 8985 §7.2). Unlike there it is armed during recovery too, twice at most without progress: at the small windows
 * that heavy loss leaves, a retransmission that is lost again often has nothing behind it that would betray the loss.
 */
export function armProbe(c: TcpConnection, now: number): void {
  c.probeIsReordering = false
  c.probeAt = NEVER
  if (c.sent.count === 0 || !c.sackAllowed || !c.roundTrip.known || c.probes >= MAX_PROBES) return
  // A probe of new data is never in vain, so it need not wait for a peer that may be sitting on the acknowledgement.
  const patience = c.sent.count === 1 && c.unsent === 0 ? DELAYED_ACKNOWLEDGEMENT : COARSENESS
  const wait = 2 * c.roundTrip.smoothed + patience
  const at = now + wait * 2 ** c.probes
  if (at < c.retransmitAt) c.probeAt = at
}

/** RACK must look again after `wait` ms: that comes before any probe. */
export function armReordering(c: TcpConnection, wait: number, now: number): void {
  c.probeIsReordering = true
  c.probeAt = now + wait
}
