import type { PathError } from '#shared/netstack/icmp.ts'
import type { TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { after, before, distance } from '#shared/netstack/tcp/sequence.ts'
import { TcpState } from '#shared/netstack/tcp/state.ts'

/**
 * Least MTU that an error may ask for, bytes: what an outer path of 576 leaves. Inner paths are below IPv6's own 1280 (RFC 8200 §5) where
 * the outer one is, and both ends may be ours.
 */
const LEAST_MTU = 400

/**
 * An ICMP error about a segment that we sent, numbered `sequence`. Anyone can send one, so it must name a number in flight (RFC 5927 §4), it ends
 * nothing that was once established (§5.2), and it can shrink segments only so far.
 */
export function pathErrorArrives(c: TcpConnection, error: PathError, sequence: number, now: number): void {
  if (before(sequence, c.una) || !before(sequence, c.next)) return
  if (error.kind === 'too-big') {
    shrink(c, error.mtu)
    return
  }
  if (c.state !== TcpState.SynSent && c.state !== TcpState.SynReceived) return
  c.close(error.kind === 'refused' ? 'ECONNREFUSED' : 'EHOSTUNREACH', false, now)
}

function shrink(c: TcpConnection, mtu: number): void {
  const headers = (c.remote.length === 4 ? 20 : 40) + 20
  const mss = Math.max(LEAST_MTU, mtu) - headers
  if (mss >= c.peerMss) return
  c.peerMss = mss
  refit(c)
}

/** The segment size is what path and peer allow now; what was sent larger than that is lost, and goes out again in pieces. */
export function refit(c: TcpConnection): void {
  const before = c.mss
  c.fitSegments()
  if (c.mss >= before) return
  for (let segment = c.sent.first; segment !== undefined; segment = segment.next) {
    if (distance(segment.end, segment.start) > c.mss && after(segment.end, c.una)) c.sent.markLost(segment)
  }
  c.host.touch(c)
}
