import type { DataPlane } from '#shared/dataplane/data-plane.ts'
import { relay } from '#shared/dataplane/relay.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Endpoint, TunnelEndpoint } from '#shared/tunnel/association.ts'

/**
 * Inbound road, in order:
 * 1. find the session, judge freshness, open, mark the window (the endpoint)
 * 2. read the inner headers strictly
 * 3. inner source: routed to the association that sealed the packet (P-30)
 * 4. for another association: relay.ts
 * 5. filter
 * 6. deliver here
 * Returns 0, or a DropReason.
 */
export function inbound(plane: DataPlane, endpoint: TunnelEndpoint, datagram: Uint8Array, from: Endpoint, now: Instant): number {
  const { plain, packet } = plane
  if (datagram.length > plain.length) return DropReason.InnerTooBig
  const length = endpoint.open(datagram, from, plain, now)
  // 0 bytes: an authenticated keepalive, of which the endpoint has taken note.
  if (length <= 0) return length
  const association = endpoint.opened
  if (association === undefined) return DropReason.NoSession
  if (packet.read(plain, length) < 0) return DropReason.InnerMalformed
  const { width, sourceAt, destinationAt } = packet
  if (plane.routes.lookup(plain, sourceAt, width) !== association) {
    plane.ports.spoofed?.(packet, association, now)
    return DropReason.InnerSourceRefused
  }
  if (!plane.isLocal(plain, destinationAt, width)) return relay(plane, association, now)
  const verdict = plane.filter.judge(packet, association, undefined, now)
  if (verdict < 0) return verdict
  plane.traffic.delivered++
  plane.ports.deliver(plain.subarray(0, packet.length))
  return 0
}
