import { Phase, type TcpConnection } from '#shared/netstack/tcp/connection.ts'
import { SentFlag } from '#shared/netstack/tcp/sent-segment.ts'

/** Loss was found: reduce once for this window of data (RFC 6675 §5), and spread the reduction over it (RFC 6937). */
export function enterRecovery(c: TcpConnection): void {
  c.phase = Phase.Recovery
  c.recoveryPoint = c.next
  c.prrFlight = Math.max(c.mss, c.sent.pipe)
  c.prrDelivered = 0
  c.prrSent = 0
  c.undoable = 0
  c.congestion.reduce()
}

/** Everything sent before the loss was found has arrived. */
export function leaveRecovery(c: TcpConnection): void {
  if (c.phase === Phase.Recovery) c.congestion.window = c.congestion.threshold
  c.phase = Phase.Open
  c.duplicates = 0
  c.eifel = false
  c.rack.recovered()
}

/** Proportional Rate Reduction (RFC 6937 §3.1, with its slow-start reduction bound): how much this acknowledgement lets out. */
export function reduceProportionally(c: TcpConnection, delivered: number, advanced: boolean): void {
  const pipe = c.sent.pipe
  const target = c.congestion.threshold
  c.prrDelivered += delivered
  let room: number
  if (pipe > target) room = Math.ceil((c.prrDelivered * target) / c.prrFlight) - c.prrSent
  else {
    const bound = Math.max(c.prrDelivered - c.prrSent, delivered) + (advanced ? c.mss : 0)
    room = Math.min(target - pipe, bound)
  }
  // The first retransmission goes out at once.
  if (c.prrSent === 0) room = Math.max(room, c.mss)
  c.congestion.window = pipe + Math.max(0, room)
}

/** The retransmission timer ran out: all that is not selectively acknowledged counts as lost, and slow start begins (RFC 6298 §5, RFC 5681). */
export function collapse(c: TcpConnection, now: number): void {
  const again = c.phase === Phase.Loss
  c.congestion.collapse(again)
  // The peer may renege on SACK; it certainly did where the first hole is said to be filled (RFC 2018 §8).
  const reneged = c.sent.first !== undefined && (c.sent.first.flags & SentFlag.Sacked) !== 0
  c.sent.markAllLost(reneged)
  if (!again) {
    c.undoable = 0
    c.eifel = c.timestamps
    c.eifelTimestamp = c.timestampAt(now)
  }
  c.phase = Phase.Loss
  c.recoveryPoint = c.next
  c.probing = false
}

/** What was taken for loss was delay or reordering: nothing is lost, and the window is as it was. */
export function undoReduction(c: TcpConnection): void {
  c.sent.unmarkLost()
  c.congestion.undo()
  c.undoable = -1
  c.duplicates = 0
  c.phase = Phase.Open
}
