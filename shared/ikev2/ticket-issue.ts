import { concat } from '#shared/bytes/concat.ts'
import { wallTime } from '#shared/time/instant.ts'
import { NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, NotifyPayload } from '#shared/wire/ike-payload/payload.ts'
import type { GenerationSecrets } from './generation-secrets.ts'
import type { ResumptionTicket } from './ike-output.ts'
import type { IkeState } from './ike-state.ts'
import { findNotify, hasNotify, notify } from './notify.ts'
import type { AuthenticatedPeer } from './peer-policy.ts'
import { proofEnds, sealTicket } from './session-ticket.ts'

/** Tickets in IKE_AUTH (RFC 5723 §4.1): given to who asks, kept by who asked. */

/** TICKET_LT_OPAQUE for a peer that asks for a ticket: lifetime in seconds (4) and the ticket. None where we have no key to seal it. */
export function issueTicket(
  { context }: IkeState,
  request: readonly IkePayload[],
  peer: AuthenticatedPeer,
  { chosen, keys }: GenerationSecrets,
): NotifyPayload[] {
  const [key] = context.ticketKeys
  if (key === undefined || !hasNotify(request, NotifyType.TicketRequest)) return []
  const now = context.wall()
  const expires = wallTime(Math.min(now + context.settings.ticketTime, proofEnds(peer)))
  const seconds = Math.floor((expires - now) / 1_000)
  const ticket = seconds > 0 ? sealTicket(context.suite, key, { expires, chosen, skD: keys.d, peer }) : undefined
  if (ticket === undefined) return []
  const lifetime = new Uint8Array(4)
  new DataView(lifetime.buffer).setUint32(0, seconds)
  return [notify(NotifyType.TicketLtOpaque, concat(lifetime, ticket))]
}

/** A lifetime beyond this is the peer's affair: nobody keeps a ticket for longer. */
const LONGEST = 7 * 86_400

/** The ticket in an answer to IKE_AUTH, with what it takes to use it. The secret is a copy. */
export function takeTicket(
  answer: readonly IkePayload[],
  peer: AuthenticatedPeer,
  { chosen, keys }: GenerationSecrets,
): ResumptionTicket | undefined {
  const data = findNotify(answer, NotifyType.TicketLtOpaque)?.data
  if (data === undefined || data.length <= 4) return undefined
  const lifetimeSeconds = Math.min(LONGEST, new DataView(data.buffer, data.byteOffset, 4).getUint32(0))
  return { opaque: data.slice(4), lifetimeSeconds, skD: keys.d.slice(), algorithms: chosen, peer }
}
