import type { Suite } from '#shared/crypto/suite.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { findNotify } from './notify.ts'
import { openTicket, type TicketContent } from './session-ticket.ts'

export type { TicketContent } from './session-ticket.ts'

/** What the ticket of an IKE_SESSION_RESUME request holds (RFC 5723 §4.3.2); undefined: none of ours, or too old: TICKET_NACK. */
export function readResumeRequest(
  context: { readonly suite: Suite; readonly ticketKeys: readonly Uint8Array[]; wall(): WallTime },
  payloads: readonly IkePayload[],
): TicketContent | undefined {
  const sealed = findNotify(payloads, NotifyType.TicketOpaque)?.data
  return sealed === undefined ? undefined : openTicket(context.suite, context.ticketKeys, sealed, context.wall())
}
