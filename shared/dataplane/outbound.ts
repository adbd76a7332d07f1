import { type DataPlane, innerPacketLimit } from '#shared/dataplane/data-plane.ts'
import { refusal } from '#shared/dataplane/refusal.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'

/**
 * Outbound road of this host's own packets, in order:
 * 1. read the inner headers strictly
 * 2. route: the association that owns the destination; the host's own addresses come straight back
 * 3. filter (what we begin, the other end may answer)
 * 4. room on its path
 * 5. seal, transmit
 * Returns 0, or a DropReason.
 */
export function outbound(plane: DataPlane, bytes: Uint8Array, now: Instant): number {
  const { packet } = plane
  if (bytes.length > innerPacketLimit) return DropReason.InnerTooBig
  if (packet.read(bytes, bytes.length) < 0) return DropReason.InnerMalformed
  const { width, destinationAt, length } = packet
  const to = plane.routes.lookup(bytes, destinationAt, width)
  if (to === undefined) {
    if (!plane.isLocal(bytes, destinationAt, width)) return DropReason.NoRoute
    plane.ports.deliver(bytes)
    return 0
  }
  const verdict = plane.filter.judge(packet, undefined, to, now)
  if (verdict < 0) return refusal(plane, undefined, verdict, now)
  return plane.fits(undefined, to, now) ? dispatch(plane, to, bytes, length, now) : DropReason.InnerTooBig
}

/** Seals one inner packet to `to` and transmits it. A packet that waits for a handshake is not lost: 0 is returned for it too. */
export function dispatch(plane: DataPlane, to: Association, bytes: Uint8Array, length: number, now: Instant): number {
  const { sealed } = plane
  const size = to.seal(bytes, length, sealed, now)
  if (size === DropReason.NoSession) return 0
  if (size < 0) return size
  const { endpoint } = to
  if (endpoint === undefined) return DropReason.SendFailed
  if (!plane.ports.transmit(sealed.subarray(0, size), endpoint)) return DropReason.SendFailed
  plane.traffic.sent++
  return 0
}
