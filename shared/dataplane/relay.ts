import type { DataPlane } from '#shared/dataplane/data-plane.ts'
import { spendHop } from '#shared/dataplane/hop-limit.ts'
import { dispatch } from '#shared/dataplane/outbound.ts'
import { refusal } from '#shared/dataplane/refusal.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'

/**
 * Relay between two associations; `plane.packet` has been opened and its source checked. In order:
 * 1. route: the association that owns the destination, never the one it came from
 * 2. filter
 * 3. one hop less
 * 4. room on the other's path
 * 5. seal to the other, transmit (outbound.ts)
 * Returns 0, or a DropReason.
 */
export function relay(plane: DataPlane, from: Association, now: Instant): number {
  const { packet } = plane
  const to = plane.routes.lookup(packet.bytes, packet.destinationAt, packet.width)
  if (to === undefined || to === from) return DropReason.NoRoute
  const verdict = plane.filter.judge(packet, from, to, now)
  if (verdict < 0) return refusal(plane, from, verdict, now)
  if (!spendHop(packet)) return DropReason.HopLimitExceeded
  if (!plane.fits(from, to, now)) return DropReason.InnerTooBig
  const sent = dispatch(plane, to, packet.bytes, packet.length, now)
  if (sent === 0) plane.traffic.relayed++
  return sent
}
