import type { DataPlane } from '#shared/dataplane/data-plane.ts'
import type { FlowEnd } from '#shared/dataplane/flow.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Instant } from '#shared/time/instant.ts'

/** What the filter refused is answered by a reset to its sender (undefined: this host) where it is of TCP; the reason goes on to the counters. */
export function refusal(plane: DataPlane, from: FlowEnd, verdict: number, now: Instant): number {
  if (verdict === DropReason.FilterRefused) plane.answerRefusal(from, now)
  return verdict
}
