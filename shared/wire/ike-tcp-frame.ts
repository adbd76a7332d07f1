/**
 * IKE and ESP in a TCP stream (RFC 9329 §3). Whoever opened the connection first sends six bytes of prefix; then, both ways:
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-------------------------------+-------------------------------+
 *   |            Length             | what UDP port 4500 would carry: IKE behind the non-ESP marker, or ESP
 *   +-------------------------------+-------------------------------+
 *
 * Length counts its own two bytes.
 */
import { WireError } from '#shared/bytes/wire-error.ts'

const LENGTH_SIZE = 2
const LONGEST_FRAME = 65_535

/** `IKETCP` (RFC 9329 §4). */
export const streamPrefix: Uint8Array = Uint8Array.of(0x49, 0x4b, 0x45, 0x54, 0x43, 0x50)

/** Longest datagram of a frame, bytes. */
export const longestFramed = LONGEST_FRAME - LENGTH_SIZE

/** The frame of a datagram, in memory of its own. Throws WireError `length-invalid` above `longestFramed`. */
export function encodeTcpFrame(datagram: Uint8Array): Uint8Array {
  const length = datagram.length + LENGTH_SIZE
  if (length > LONGEST_FRAME) throw new WireError('length-invalid', `${datagram.length} bytes do not fit into a frame`)
  const frame = new Uint8Array(length)
  frame[0] = length >> 8
  frame[1] = length & 0xff
  frame.set(datagram, LENGTH_SIZE)
  return frame
}

/** Cuts a stream into its datagrams, however TCP has cut it. After an error it must not be used again. */
export class TcpFrameReader {
  readonly #limit: number
  #prefixLeft: number
  #kept: Uint8Array = new Uint8Array(0)

  /** `opener`: the far end opened the connection, and begins with the prefix. `limit`: longest datagram taken, bytes. */
  constructor({ opener, limit = longestFramed }: { opener: boolean; limit?: number }) {
    this.#prefixLeft = opener ? streamPrefix.length : 0
    this.#limit = limit
  }

  /**
   * Takes what came, and hands each whole datagram over, which then belongs to the callee. Throws WireError `prefix-invalid` and
   * `length-invalid`: the stream is to be closed then, since nothing in it can be found again (RFC 9329 §6.1).
   */
  push(chunk: Uint8Array, onDatagram: (datagram: Uint8Array) => void): void {
    let bytes = this.#afterPrefix(chunk)
    if (this.#kept.length > 0) {
      const joined = new Uint8Array(this.#kept.length + bytes.length)
      joined.set(this.#kept)
      joined.set(bytes, this.#kept.length)
      bytes = joined
    }
    let at = 0
    while (bytes.length - at >= LENGTH_SIZE) {
      const length = (bytes[at]! << 8) | bytes[at + 1]!
      if (length < LENGTH_SIZE || length - LENGTH_SIZE > this.#limit)
        throw new WireError('length-invalid', `a frame of ${length} bytes`)
      if (bytes.length - at < length) break
      if (length > LENGTH_SIZE) onDatagram(bytes.slice(at + LENGTH_SIZE, at + length))
      at += length
    }
    this.#kept = bytes.slice(at)
  }

  #afterPrefix(chunk: Uint8Array): Uint8Array {
    let at = 0
    while (this.#prefixLeft > 0 && at < chunk.length) {
      if (chunk[at++] !== streamPrefix[streamPrefix.length - this.#prefixLeft])
        throw new WireError('prefix-invalid', 'the stream does not begin with IKETCP')
      this.#prefixLeft--
    }
    return chunk.subarray(at)
  }
}
