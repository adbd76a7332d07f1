import type { RetransmissionQueue } from '#shared/netstack/tcp/retransmission-queue.ts'
import { SentFlag, type SentSegment } from '#shared/netstack/tcp/sent-segment.ts'
import { after, before, distance, later } from '#shared/netstack/tcp/sequence.ts'

/** Rounds of recovery without a spurious retransmission after which the reordering window shrinks back (RFC 8985 §6.2). */
const PERSISTENCE = 16

/** Selectively acknowledged segments that mean loss while no reordering has been seen (RFC 5681's three duplicates). */
const DUPLICATE_THRESHOLD = 3

/**
 * RACK (RFC 8985 §6): a segment is lost when one sent sufficiently later has been delivered. Time, not a count of duplicates, decides, so
 * reordered packets are not taken for lost ones, and a retransmission that is lost again is found without a timeout.
 */
export class Rack {
  /** The delivered segment that was sent last: when, its end, and its round trip. */
  #sentAt = -0.5
  #end = 0
  #roundTrip = 0.5
  /** Highest sequence number delivered. */
  forward = 0
  #reorderingSeen = false
  #windowSteps = 1
  #persist = 0
  #lastDsackRound = 0
  #dsackSeen = false

  start(sequence: number): void {
    this.forward = sequence
    this.#end = sequence
  }

  /** A segment was delivered, by either kind of acknowledgement. `least`: the least recent round trip, ms. */
  delivered(segment: SentSegment, now: number, least: number): void {
    const roundTrip = now - segment.sentAt
    const retransmitted = (segment.flags & SentFlag.Retransmitted) !== 0
    if (before(segment.end, this.forward)) {
      if (!retransmitted) this.#reorderingSeen = true
    } else this.forward = segment.end
    // An acknowledgement that comes back sooner than light answers the original, not the retransmission.
    if (retransmitted && roundTrip < least) return
    if (segment.sentAt > this.#sentAt || (segment.sentAt === this.#sentAt && after(segment.end, this.#end))) {
      this.#sentAt = segment.sentAt
      this.#end = segment.end
      this.#roundTrip = roundTrip
    }
  }

  /** The peer got a segment twice: reordering was mistaken for loss, so wait longer; once in a round trip (`next`: SND.NXT). */
  spurious(una: number, next: number): void {
    if (this.#dsackSeen && before(una, this.#lastDsackRound)) return
    this.#dsackSeen = true
    this.#lastDsackRound = next
    this.#reorderingSeen = true
    this.#windowSteps = Math.min(this.#windowSteps + 1, 255)
    this.#persist = PERSISTENCE
  }

  /** A recovery ended. */
  recovered(): void {
    if (this.#persist > 0 && --this.#persist === 0) this.#windowSteps = 1
  }

  /**
   * Marks lost segments in `queue`. Returns how long until the next must be looked at (ms; Infinity: none). `until`: segments from there on
   * were never retransmitted and were sent after everything delivered.
   */
  detect(queue: RetransmissionQueue, una: number, until: number, now: number, inRecovery: boolean, rtt: RttView): number {
    let soonest = Number.POSITIVE_INFINITY
    if (this.#sentAt < 0) return soonest
    const window = this.#reorderingWindow(queue, inRecovery, rtt)
    const stop = later(until, later(this.forward, una))
    for (let segment = queue.first; segment !== undefined && before(segment.start, stop); segment = segment.next) {
      if ((segment.flags & (SentFlag.Sacked | SentFlag.Lost)) !== 0) continue
      const sentLater = this.#sentAt > segment.sentAt || (this.#sentAt === segment.sentAt && distance(this.#end, segment.end) > 0)
      if (!sentLater) continue
      const remaining = segment.sentAt + this.#roundTrip + window - now
      if (remaining <= 0) queue.markLost(segment)
      else if (remaining < soonest) soonest = remaining
    }
    return soonest
  }

  #reorderingWindow(queue: RetransmissionQueue, inRecovery: boolean, rtt: RttView): number {
    if (!this.#reorderingSeen && (inRecovery || queue.sacked >= DUPLICATE_THRESHOLD)) return 0
    const quarter = rtt.least === Number.POSITIVE_INFINITY ? rtt.smoothed / 4 : rtt.least / 4
    return Math.max(0, Math.min(this.#windowSteps * quarter, rtt.smoothed))
  }
}

interface RttView {
  readonly least: number
  readonly smoothed: number
}
