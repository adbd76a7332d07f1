import { after, type Duration, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import { RETIRED_TIME } from './esp-constants.ts'
import type { HeldIkeSa } from './held-ike-sa.ts'

/** Two IKE SAs, one begun by each end, that came up within so short a time of each other have crossed. */
const CROSSING_TIME: Duration = seconds(10)

interface Slot {
  readonly held: HeldIkeSa
  readonly since: Instant
  /** When one that lost is closed. */
  closeAt: Instant | undefined
}

/**
 * The authenticated IKE SAs of one association: one, but for a while after a peer has begun anew. The newest stays; the one before is
 * closed when nothing can be under way for its Child SAs any more. Where both ends began at once, both must keep the same one, or each
 * would close what the other keeps: the greater initiator's SPI stays.
 */
export class IkeSaSlots {
  #slots: Slot[] = []
  #current: Slot | undefined

  /** The one that negotiates for the association now. */
  get current(): HeldIkeSa | undefined {
    return this.#current?.held
  }

  /** All of them, those that are about to be closed included. */
  get all(): readonly HeldIkeSa[] {
    return this.#slots.map(({ held }) => held)
  }

  get nextClose(): Instant | undefined {
    let next: Instant | undefined
    for (const { closeAt } of this.#slots) if (closeAt !== undefined && (next === undefined || closeAt < next)) next = closeAt
    return next
  }

  /** A new one is authenticated. Returns whether it is the current one now. */
  adopt(held: HeldIkeSa, now: Instant): boolean {
    const before = this.#current
    const slot: Slot = { held, since: now, closeAt: undefined }
    this.#slots.push(slot)
    const stays = before !== undefined && haveCrossed(before, slot) && before.held.sa.initiatorSpi > held.sa.initiatorSpi
    const loser = stays ? slot : before
    if (loser !== undefined) loser.closeAt = after(now, RETIRED_TIME)
    if (!stays) this.#current = slot
    return !stays
  }

  /** It has ended. Where it was the current one, another one that still lives takes its place. */
  remove(held: HeldIkeSa): void {
    this.#slots = this.#slots.filter((slot) => slot.held !== held)
    if (this.#current?.held !== held) return
    this.#current = this.#slots.at(-1)
    if (this.#current !== undefined) this.#current.closeAt = undefined
  }

  /** Takes the next one that is to be closed by now. */
  takeDue(now: Instant): HeldIkeSa | undefined {
    const slot = this.#slots.find(({ closeAt }) => closeAt !== undefined && now >= closeAt)
    if (slot === undefined) return undefined
    slot.closeAt = undefined
    return slot.held
  }
}

const haveCrossed = (a: Slot, b: Slot): boolean =>
  a.held.initiator !== b.held.initiator && elapsed(a.since, b.since) < CROSSING_TIME
