/**
 * The TCP header, RFC 9293 §3.1, with the options of RFC 9293, 7323 and 2018.
 *
 *  |          Source Port          |       Destination Port        |
 *  |                        Sequence Number                        |
 *  |                    Acknowledgment Number                      |
 *  | Offset| Rsrvd |  Flags (8)    |            Window             |
 *  |           Checksum            |         Urgent Pointer        |
 *  |                    Options                    |    Padding    |
 *
 * Sequence numbers are held as signed 32-bit integers, so that `(a - b) | 0` is their serial difference and V8 keeps them unboxed.
 */
import { DropReason } from '#shared/drop-reason.ts'

/** Bytes of a header without options, and of the largest. */
export const TCP_HEADER_LENGTH = 20
export const TCP_MAX_HEADER_LENGTH = 60

export const TcpFlag = { Fin: 1, Syn: 2, Rst: 4, Psh: 8, Ack: 16 } as const

export const TcpOption = { End: 0, Nop: 1, Mss: 2, WindowScale: 3, SackPermitted: 4, Sack: 5, Timestamps: 8 } as const

/** A shift larger than this is read as this (RFC 7323 §2.3). */
export const MAX_WINDOW_SCALE = 14

/** One received segment: values and offsets into the packet it came in. One object serves every segment of a stack. */
export class TcpSegment {
  sourcePort = 0
  destinationPort = 0
  /** Signed 32-bit. */
  sequence = 0
  acknowledgement = 0
  flags = 0
  /** As in the header: not scaled. */
  window = 0
  /** Offset and size of the payload. */
  payload = 0
  length = 0
  /** 0: the option is absent. */
  mss = 0
  /** -1: the option is absent. */
  windowScale = -1
  sackPermitted = false
  hasTimestamps = false
  timestamp = 0
  timestampEcho = 0
  /** Pairs of left and right edges in `sacks`. */
  sackCount = 0
  readonly sacks = new Int32Array(8)
}

/** Reads the segment at `view[at..end]`, its checksum already verified. Returns 0 or `InnerMalformed`. */
export function decodeTcpSegment(view: DataView, at: number, end: number, out: TcpSegment): number {
  if (at + TCP_HEADER_LENGTH > end) return DropReason.InnerMalformed
  const headerLength = (view.getUint8(at + 12) >> 4) * 4
  if (headerLength < TCP_HEADER_LENGTH || at + headerLength > end) return DropReason.InnerMalformed
  out.sourcePort = view.getUint16(at)
  out.destinationPort = view.getUint16(at + 2)
  out.sequence = view.getInt32(at + 4)
  out.acknowledgement = view.getInt32(at + 8)
  out.flags = view.getUint8(at + 13)
  out.window = view.getUint16(at + 14)
  out.payload = at + headerLength
  out.length = end - out.payload
  out.mss = 0
  out.windowScale = -1
  out.sackPermitted = false
  out.hasTimestamps = false
  out.sackCount = 0
  if (headerLength === TCP_HEADER_LENGTH) return 0
  // The layout that nearly every data segment has: two NOPs and timestamps (RFC 7323 appendix A).
  if (headerLength === TCP_HEADER_LENGTH + 12 && view.getInt32(at + TCP_HEADER_LENGTH) === 0x0101_080a) {
    out.hasTimestamps = true
    out.timestamp = view.getInt32(at + 24)
    out.timestampEcho = view.getInt32(at + 28)
    return 0
  }
  return decodeOptions(view, at + TCP_HEADER_LENGTH, at + headerLength, out)
}

function decodeOptions(view: DataView, from: number, to: number, out: TcpSegment): number {
  for (let at = from; at < to; ) {
    const kind = view.getUint8(at)
    if (kind === TcpOption.End) return 0
    if (kind === TcpOption.Nop) {
      at++
      continue
    }
    const size = at + 1 < to ? view.getUint8(at + 1) : 0
    if (size < 2 || at + size > to) return DropReason.InnerMalformed
    if (kind === TcpOption.Mss && size === 4) out.mss = view.getUint16(at + 2)
    else if (kind === TcpOption.WindowScale && size === 3) out.windowScale = Math.min(view.getUint8(at + 2), MAX_WINDOW_SCALE)
    else if (kind === TcpOption.SackPermitted && size === 2) out.sackPermitted = true
    else if (kind === TcpOption.Timestamps && size === 10) {
      out.hasTimestamps = true
      out.timestamp = view.getInt32(at + 2)
      out.timestampEcho = view.getInt32(at + 6)
    } else if (kind === TcpOption.Sack && size >= 10 && (size - 2) % 8 === 0) {
      out.sackCount = (size - 2) >> 3
      for (let i = 0; i < out.sackCount * 2; i++) out.sacks[i] = view.getInt32(at + 2 + 4 * i)
    }
    at += size
  }
  return 0
}
