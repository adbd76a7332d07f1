import { type Duration, elapsed, type Instant, milliseconds } from '#shared/time/instant.ts'

/** Full-size probes that are sent into silence. */
const FULL_INTO_SILENCE = 3
/** Tries that are remembered. */
const REMEMBERED = 32
/** What a full-size packet may take longer than a small one; at least half a round trip. */
const FULL_LATER: Duration = milliseconds(100)

interface Try {
  readonly sentAt: Instant
  readonly full: boolean
  small: 'awaited' | 'back' | 'lost'
}

/**
 * One check of the path: tries one after the other, each a small probe with a full-size one beside it where sizes are tested. What takes
 * both of a pair says nothing of sizes: a full-size probe counts as swallowed only where its small companion came back.
 */
export class PathCheck {
  readonly startedAt: Instant
  /** The broker may not know where we are. */
  readonly doubted: boolean
  /** Whether full-size packets are tested too. */
  full: boolean
  nextAt: Instant
  holeTold = false
  tries = 0
  /** Tries since a small probe came back, and since when none has. */
  silentTries = 0
  silentSince: Instant
  #tries: Try[] = []

  constructor(full: boolean, doubted: boolean, now: Instant) {
    this.startedAt = now
    this.silentSince = now
    this.nextAt = now
    this.full = full
    this.doubted = doubted
  }

  /** Notes one more try; whether a full-size probe belongs to it. */
  next(now: Instant): boolean {
    const full = this.full && this.silentTries < FULL_INTO_SILENCE
    this.tries++
    this.silentTries++
    this.#tries.push({ sentAt: now, full, small: 'awaited' })
    if (this.#tries.length > REMEMBERED) this.#tries.shift()
    return full
  }

  /** What full-size means has changed. */
  resized(): void {
    this.#tries = []
    this.holeTold = false
  }

  /** The small probe of the try at `sentAt` came back. Returns how many before it did not. */
  smallReturned(sentAt: Instant, now: Instant): number {
    let lost = 0
    for (const one of this.#tries) {
      if (one.sentAt === sentAt) one.small = 'back'
      else if (one.sentAt < sentAt && one.small === 'awaited') {
        one.small = 'lost'
        lost++
      }
    }
    // Where no full-size one was sent any more, those of before are lost with the rest: the next goes out at once.
    if (this.full && !this.#tries.some((one) => one.full && one.sentAt >= sentAt)) this.nextAt = now
    this.silentTries = 0
    this.silentSince = now
    return lost
  }

  /** Full-size probes that were swallowed by now, or of those sent before `before`. */
  swallowed(roundTrip: Duration, now: Instant, before: Instant = now): number {
    const patience = roundTrip + Math.max(FULL_LATER, roundTrip / 2)
    return this.#tries.filter(
      ({ sentAt, full, small }) => full && small === 'back' && sentAt < before && elapsed(sentAt, now) >= patience,
    ).length
  }
}
