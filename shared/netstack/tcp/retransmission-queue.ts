import { returnSentSegment, SentFlag, type SentSegment, takeSentSegment } from '#shared/netstack/tcp/sent-segment.ts'
import { after, before, distance } from '#shared/netstack/tcp/sequence.ts'

/**
 * Segments sent and not cumulatively acknowledged, in sequence order, with the SACK scoreboard (RFC 2018, RFC 6675) on them: a doubly
 * linked list. `pipe` is RFC 6675's estimate of the bytes in flight, kept up to date at every change.
 */
export class RetransmissionQueue {
  first: SentSegment | undefined = undefined
  last: SentSegment | undefined = undefined
  /** Segments here; those of them that are lost; that were selectively acknowledged. */
  count = 0
  lost = 0
  sacked = 0
  /** Bytes in flight. */
  pipe = 0

  /** Appends a segment just sent. */
  push(start: number, end: number, flags: number, now: number): SentSegment {
    const segment = takeSentSegment()
    segment.start = start
    segment.end = end
    segment.flags = flags
    segment.sentAt = now
    segment.previous = this.last
    if (this.last === undefined) this.first = segment
    else this.last.next = segment
    this.last = segment
    this.count++
    this.pipe += distance(end, start)
    return segment
  }

  /** Takes the first segment off the list, if `acknowledged` covers it whole; cuts it where it is covered in part. */
  shift(acknowledged: number): SentSegment | undefined {
    const segment = this.first
    if (segment === undefined) return undefined
    if (after(segment.end, acknowledged)) {
      if (after(acknowledged, segment.start)) this.#cutFront(segment, acknowledged)
      return undefined
    }
    this.first = segment.next
    if (this.first === undefined) this.last = undefined
    else this.first.previous = undefined
    this.count--
    this.#leave(segment)
    return segment
  }

  /** The SYN of ours is gone, or everything is given up. */
  clear(): void {
    for (let segment = this.first; segment !== undefined; ) {
      const next: SentSegment | undefined = segment.next
      returnSentSegment(segment)
      segment = next
    }
    this.first = undefined
    this.last = undefined
    this.count = 0
    this.lost = 0
    this.sacked = 0
    this.pipe = 0
  }

  markSacked(segment: SentSegment): void {
    this.#leave(segment)
    segment.flags = (segment.flags & ~SentFlag.Lost) | SentFlag.Sacked
    this.sacked++
  }

  markLost(segment: SentSegment): void {
    if ((segment.flags & (SentFlag.Lost | SentFlag.Sacked)) !== 0) return
    this.#leave(segment)
    segment.flags |= SentFlag.Lost
    this.lost++
  }

  /** A timeout: everything not selectively acknowledged is lost (RFC 6675 §5.1). With `reneged`, even that (RFC 2018 §8). */
  markAllLost(reneged: boolean): void {
    for (let segment = this.first; segment !== undefined; segment = segment.next) {
      if (reneged && (segment.flags & SentFlag.Sacked) !== 0) {
        this.#leave(segment)
        segment.flags &= ~SentFlag.Sacked
        this.pipe += distance(segment.end, segment.start)
      }
      this.markLost(segment)
    }
  }

  /** What was thought lost is in flight after all (a spurious timeout). */
  unmarkLost(): void {
    for (let segment = this.first; segment !== undefined; segment = segment.next) {
      if ((segment.flags & SentFlag.Lost) !== 0) this.#fly(segment)
    }
  }

  firstLost(): SentSegment | undefined {
    if (this.lost === 0) return undefined
    for (let segment = this.first; segment !== undefined; segment = segment.next) {
      if ((segment.flags & SentFlag.Lost) !== 0) return segment
    }
    return undefined
  }

  /** Notes that `segment` is sent again now. */
  resent(segment: SentSegment, now: number): void {
    if ((segment.flags & SentFlag.Lost) !== 0) this.#fly(segment)
    segment.flags |= SentFlag.Retransmitted
    segment.sentAt = now
  }

  /** Cuts `segment` in two so that the first has `bytes` bytes: the path's MTU became smaller. */
  split(segment: SentSegment, bytes: number): void {
    const rest = takeSentSegment()
    rest.start = (segment.start + bytes) | 0
    rest.end = segment.end
    rest.flags = segment.flags
    rest.sentAt = segment.sentAt
    segment.end = rest.start
    segment.flags &= ~SentFlag.Fin
    rest.previous = segment
    rest.next = segment.next
    if (segment.next === undefined) this.last = rest
    else segment.next.previous = rest
    segment.next = rest
    this.count++
    if ((rest.flags & SentFlag.Lost) !== 0) this.lost++
    if ((rest.flags & SentFlag.Sacked) !== 0) this.sacked++
  }

  #fly(segment: SentSegment): void {
    segment.flags &= ~SentFlag.Lost
    this.lost--
    this.pipe += distance(segment.end, segment.start)
  }

  /** Takes a segment out of whichever count it is in. */
  #leave(segment: SentSegment): void {
    if ((segment.flags & SentFlag.Sacked) !== 0) this.sacked--
    else if ((segment.flags & SentFlag.Lost) !== 0) this.lost--
    else this.pipe -= distance(segment.end, segment.start)
  }

  #cutFront(segment: SentSegment, at: number): void {
    if ((segment.flags & (SentFlag.Sacked | SentFlag.Lost)) === 0) this.pipe -= distance(at, segment.start)
    if (before(segment.start, at)) segment.start = at
    segment.flags &= ~SentFlag.Syn
  }
}
