import type { DataPlane } from '#shared/dataplane/data-plane.ts'
import { refusal } from '#shared/dataplane/refusal.ts'
import { relay } from '#shared/dataplane/relay.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'

/**
 * Inbound road, in order:
 * 1. find the session, judge freshness, open, mark the window (the endpoint; DataPlane.receive calls it)
 * 2. read the inner headers strictly
 * 3. inner source: routed to the association that sealed the packet (P-30)
 * 4. for another association: relay.ts
 * 5. filter
 * 6. deliver here, after what the peer says of its path's size is noted; a SYN is cut to it
 * `length` bytes of `plane.plain` came from `association`. Returns 0, or a DropReason.
 */
export function inbound(plane: DataPlane, association: Association, length: number, now: Instant): number {
  const { plain, packet } = plane
  if (packet.read(plain, length) < 0) return DropReason.InnerMalformed
  const { width, sourceAt, destinationAt } = packet
  if (plane.routes.lookup(plain, sourceAt, width) !== association) {
    plane.ports.spoofed?.(packet, association, now)
    return DropReason.InnerSourceRefused
  }
  if (!plane.isLocal(plain, destinationAt, width)) return relay(plane, association, now)
  const verdict = plane.filter.judge(packet, association, undefined, now)
  if (verdict < 0) return refusal(plane, association, verdict, now)
  plane.traffic.delivered++
  plane.sizes.hear(packet, association)
  plane.clamp(association)
  plane.ports.deliver(plain.subarray(0, packet.length))
  return 0
}
