import type { PathError } from '#shared/netstack/icmp.ts'
import type { TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { after, before, distance } from '#shared/netstack/tcp/sequence.ts'
import { TcpState } from '#shared/netstack/tcp/state.ts'

/** Least MTU that an error may ask for, bytes: IPv6's own (RFC 8200 §5), and what every IPv4 host takes (RFC 791). */
const LEAST_MTU = { 4: 576, 16: 1280 } as const

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
  const mss = Math.max(c.remote.length === 4 ? LEAST_MTU[4] : LEAST_MTU[16], mtu) - headers
  if (mss >= c.peerMss) return
  c.peerMss = mss
  c.fitSegments()
  for (let segment = c.sent.first; segment !== undefined; segment = segment.next) {
    if (distance(segment.end, segment.start) > c.mss && after(segment.end, c.una)) c.sent.markLost(segment)
  }
  c.host.touch(c)
}
