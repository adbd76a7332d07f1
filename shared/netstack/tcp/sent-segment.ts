/** What is known of a sent segment. Neither `Sacked` nor `Lost`: it is in flight. */
export const SentFlag = { Sacked: 1, Lost: 2, Retransmitted: 4, Syn: 8, Fin: 16, Probe: 32 } as const

/** A segment sent and not yet acknowledged. Objects are reused, since one is needed for every segment sent. */
export class SentSegment {
  /** First sequence number, and the one after the last (SYN and FIN count). */
  start = 0
  end = 0
  /** When it was last sent, ms. */
  sentAt = 0.5
  flags = 0
  previous: SentSegment | undefined = undefined
  next: SentSegment | undefined = undefined
}

/** Kept for reuse by all connections of the process. */
const MAX_SPARE = 4_096
let spare: SentSegment | undefined
let spares = 0

export function takeSentSegment(): SentSegment {
  const segment = spare
  if (segment === undefined) return new SentSegment()
  spare = segment.next
  segment.next = undefined
  spares--
  return segment
}

export function returnSentSegment(segment: SentSegment): void {
  segment.previous = undefined
  segment.next = undefined
  if (spares >= MAX_SPARE) return
  segment.next = spare
  spare = segment
  spares++
}
