import { after, type Duration, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import type { PathWay } from './path-way.ts'

/** While data flows, the way in use is asked so often. */
const ASK_ACTIVE = seconds(1)
/** Data flowed within: active. */
const ACTIVE_FOR = seconds(3)
/** While none does: below the 30 s after which the hastiest NATs forget. */
const ASK_IDLE = seconds(15)
/** An unanswered probe is repeated after this, or after thrice the round trip; later ones take longer, since queues do. */
const ASK_AGAIN = milliseconds(250)
/** The same of a direct way while the relay stands by: what is left too early costs little, and what is left late people wait for. */
const ASK_AGAIN_BESIDE = milliseconds(150)
/** Something was sent by a direct way and nothing has come by it for so long, or for thrice the round trip: it is asked now. */
const UNHEARD_AFTER = milliseconds(300)
/** Unanswered probes in a row that end a way from which nothing else comes; if the other end has left it; and if other things come. */
export const SILENT_AFTER = 4
const LEFT_AFTER = 3
export const ONE_WAY_AFTER = 8
/** While large packets go out the way in use is asked at full length so often; where nothing of the user's comes back, sooner. */
const ASK_FULL = seconds(10)
const ASK_FULL_DOUBTED = seconds(2)
const DOUBT_AFTER = seconds(1)

/**
 * When the way in use is asked whether it lives, by what goes through it and what comes back. Nothing here sends: PathChoice does, and says
 * which way it is.
 */
export class PathAsking {
  readonly #holdsOpen: boolean
  #sentAt: Instant | undefined
  #sentLargeAt: Instant | undefined
  /** The first packet since something came by the way in use, where that is direct. */
  #unheardSince: Instant | undefined
  /** Meanwhile a packet of the user's has come through the relay: the other end does not use this way. */
  #isLeft = false
  /** The first large packet since something of the user's was heard. */
  #doubtSince: Instant | undefined

  /** `holdsOpen`: whether this end holds the way open while nothing is said. */
  constructor(holdsOpen: boolean) {
    this.#holdsOpen = holdsOpen
  }

  /** Something of the user's went by the way in use. */
  sent(way: PathWay, isLarge: boolean, now: Instant): void {
    this.#sentAt = now
    if (way.isDirect) this.#unheardSince ??= now
    if (!isLarge) return
    this.#sentLargeAt = now
    this.#doubtSince ??= now
  }

  /** Something authentic came by the way in use. */
  heard(): void {
    this.#unheardSince = undefined
    this.#isLeft = false
  }

  /** A packet of the user's came, by whichever way. */
  heardUser(byRelay: boolean): void {
    this.#doubtSince = undefined
    this.#isLeft ||= byRelay && this.#unheardSince !== undefined
  }

  /** When it has to be asked (again); undefined where there is no need. `relayUp`: whether the hub carries datagrams. */
  next(way: PathWay, relayUp: boolean): Instant | undefined {
    if (!way.isDirect && !relayUp) return undefined
    const from = way.lastAsked
    if (way.unanswered > 0 && from !== undefined && way.unanswered < ONE_WAY_AFTER) {
      const patience = patienceOf(way, way.isDirect && relayUp ? ASK_AGAIN_BESIDE : ASK_AGAIN)
      return after(from, milliseconds(patience * (1 + way.unanswered / 4)))
    }
    const active = this.#sentAt
    if (active !== undefined && (from === undefined || from < after(active, ACTIVE_FOR))) {
      const next = from === undefined ? active : laterOf(after(from, ASK_ACTIVE), active)
      if (!way.isDirect || this.#unheardSince === undefined) return next
      return earlierOf(after(this.#unheardSince, patienceOf(way, UNHEARD_AFTER)), next)
    }
    if (!this.#holdsOpen) return undefined
    return from === undefined ? undefined : after(from, ASK_IDLE)
  }

  /** When it has to be asked at full length (again); undefined where no large packet has gone out since. */
  nextFull(way: PathWay): Instant | undefined {
    const asked = way.lastAskedFull
    if (!way.isDirect || asked === undefined) return undefined
    if (way.unansweredFull > 0) return after(asked, milliseconds(patienceOf(way, ASK_AGAIN) * (1 + way.unansweredFull / 4)))
    const [large, doubt] = [this.#sentLargeAt, this.#doubtSince]
    if (large === undefined || large <= asked) return undefined
    const next = laterOf(after(asked, ASK_FULL), large)
    if (doubt === undefined) return next
    return earlierOf(laterOf(after(asked, ASK_FULL_DOUBTED), after(doubt, DOUBT_AFTER)), next)
  }

  /** Whether it has been asked in vain for long enough to leave it. */
  isSilent(way: PathWay): boolean {
    return way.unanswered >= (way.isHeardSinceAsked ? ONE_WAY_AFTER : this.#isLeft ? LEFT_AFTER : SILENT_AFTER)
  }
}

/** How long the first answer of a way is waited for. */
const patienceOf = (way: PathWay, least: Duration): Duration => milliseconds(Math.max(least, 3 * (way.roundTrip ?? 0)))

const laterOf = (a: Instant, b: Instant): Instant => (a > b ? a : b)
const earlierOf = (a: Instant, b: Instant): Instant => (a < b ? a : b)
