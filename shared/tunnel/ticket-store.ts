import { wipe } from '#shared/crypto/suite.ts'
import type { ResumptionTicket } from '#shared/ikev2/ike-output.ts'
import { after, type Instant, seconds } from '#shared/time/instant.ts'

/** The last session ticket of a peer (RFC 5723), in memory only: good for one use, until it expires. */
export class TicketStore {
  #ticket: ResumptionTicket | undefined
  #until: Instant | undefined

  /** A newer one takes the place of the last. */
  keep(ticket: ResumptionTicket, now: Instant): void {
    this.clear()
    this.#ticket = ticket
    this.#until = after(now, seconds(ticket.lifetimeSeconds))
  }

  /** The taker wipes it. */
  take(now: Instant): ResumptionTicket | undefined {
    if (this.#until !== undefined && now >= this.#until) this.clear()
    const ticket = this.#ticket
    this.#ticket = undefined
    return ticket
  }

  clear(): void {
    wipe(this.#ticket?.skD)
    this.#ticket = undefined
  }
}
