import type { Peer } from '#broker/identity/authority.ts'
import type { Lane } from '#broker/registry/lane-rows.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { RenewalLane } from '#broker/registry/renewal-lane.ts'
import { days } from '#shared/time/instant.ts'

/** How long after its end a certificate may renew, in days: any one, and one that is the first of a device that has never renewed. */
export interface LaneDays {
  readonly renewDays: number
  readonly shelfDays: number
}

/** Who comes with an expired certificate. */
export interface LateCaller {
  readonly principal: Principal
  readonly peer: Peer
  /** Wall-clock ms. */
  readonly now: number
  /** It asks for the ratchet, or shows what the ratchet has given it: whether it is a copy is judged there. */
  readonly isJudgedByRatchet: boolean
}

type Known = Pick<RenewalLane, 'readmittedUntil' | 'whyNotFirst' | 'isTwin'>

/**
 * In which lane an expired certificate may renew, or the exact reason why in none (DESIGN D4). The shelf is for devices that never renewed:
 * of one that has, whoever shows the first certificate has an old copy of it, and beyond the lane's days copies stay out.
 */
export async function judgeLane(
  { principal, peer, now, isJudgedByRatchet }: LateCaller,
  lane: Known,
  { renewDays, shelfDays }: LaneDays,
): Promise<{ lane: Lane } | { refusal: string }> {
  if (now <= peer.notAfter + days(renewDays)) return { lane: 'renewal' }
  if (now <= (lane.readmittedUntil(principal.id) ?? 0)) return { lane: 'readmitted' }
  const refused = (why: string) => ({ refusal: `${why}; adit-broker device readmit ${principal.name}` })
  if (principal.kind !== 'device' || now > peer.notAfter + days(shelfDays))
    return refused(`expired more than ${Math.max(renewDays, principal.kind === 'device' ? shelfDays : 0)} days ago`)
  const { issuerHex, serialHex } = peer
  const held = { principalId: principal.id, issuerHex, serialHex }
  const fault = await lane.whyNotFirst(held)
  if (fault === undefined) return { lane: 'shelf' }
  if (isJudgedByRatchet && (await lane.isTwin(held, now - days(renewDays)))) return { lane: 'twin' }
  return refused(`expired more than ${renewDays} days ago, and is not from a shelf: ${fault}`)
}
