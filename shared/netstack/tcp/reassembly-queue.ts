import { after, before, distance, later, plus } from '#shared/netstack/tcp/sequence.ts'

/** Ranges kept apart by holes; more are not remembered (the peer sends them again). */
const MAX_RANGES = 128

/** A run of bytes received beyond a hole. */
interface Range {
  start: number
  end: number
  pieces: Uint8Array[]
  /** When it last grew, as a count: SACK tells the newest first (RFC 2018 §4). */
  touched: number
}

/** Segments that came before their turn. Holds each byte once; overlapping bytes are those that came first. */
export class ReassemblyQueue {
  /** Bytes held. */
  bytes = 0
  readonly #ranges: Range[] = []
  #touches = 0

  /** Keeps copies of the bytes of `source[from..]`, numbered `start..end`, that are not here yet. Returns how many were new. */
  insert(start: number, end: number, source: Uint8Array, from: number): number {
    const held = this.bytes
    let at = start
    let i = 0
    while (before(at, end)) {
      const next = this.#ranges[i]
      if (next !== undefined && !after(next.end, at)) {
        i++
        continue
      }
      if (next !== undefined && !after(next.start, at)) {
        next.touched = ++this.#touches
        at = next.end
        continue
      }
      const stop = next !== undefined && before(next.start, end) ? next.start : end
      if (!this.#add(i, at, stop, source, from + distance(at, start))) break
      at = stop
      // Joining may have taken a range away.
      i = Math.max(0, i - 1)
    }
    return this.bytes - held
  }

  /** Gives out what has become in order at `next`, and returns the number after it. */
  release(next: number, give: (piece: Uint8Array) => void): number {
    const first = this.#ranges[0]
    if (first === undefined || after(first.start, next)) return next
    this.#ranges.shift()
    this.bytes -= distance(first.end, first.start)
    let at = first.start
    for (const piece of first.pieces) {
      const end = plus(at, piece.length)
      if (after(end, next)) give(before(at, next) ? piece.subarray(distance(next, at)) : piece)
      at = end
    }
    return this.release(later(next, first.end), give)
  }

  /** Fills `out` with up to `limit` SACK blocks, the newest first; returns how many. */
  blocks(out: Int32Array, limit: number): number {
    let newest = Number.POSITIVE_INFINITY
    let count = 0
    for (; count < limit; count++) {
      let best: Range | undefined
      for (const range of this.#ranges) {
        if (range.touched < newest && (best === undefined || range.touched > best.touched)) best = range
      }
      if (best === undefined) break
      newest = best.touched
      out[2 * count] = best.start
      out[2 * count + 1] = best.end
    }
    return count
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0
  }

  /** Stores one new piece before range `i`, joining it with its neighbours. False where there is no room for another range. */
  #add(i: number, start: number, end: number, source: Uint8Array, offset: number): boolean {
    const size = distance(end, start)
    const left = this.#ranges[i - 1]
    const right = this.#ranges[i]
    const joinsLeft = left?.end === start
    const joinsRight = right?.start === end
    if (!joinsLeft && !joinsRight && this.#ranges.length >= MAX_RANGES) return false
    const piece = Buffer.allocUnsafe(size)
    piece.set(source.subarray(offset, offset + size))
    this.bytes += size
    const touched = ++this.#touches
    if (joinsLeft && joinsRight) {
      append(left.pieces, piece)
      for (const next of right.pieces) left.pieces.push(next)
      left.end = right.end
      left.touched = touched
      this.#ranges.splice(i, 1)
    } else if (joinsLeft) {
      append(left.pieces, piece)
      left.end = end
      left.touched = touched
    } else if (joinsRight) {
      prepend(right.pieces, piece)
      right.start = start
      right.touched = touched
    } else this.#ranges.splice(i, 0, { start, end, pieces: [piece], touched })
    return true
  }
}

/** Small pieces are joined below this size, bytes, so that a peer of one-byte segments cannot make us keep an object for each. */
const SMALL = 512

function prepend(pieces: Uint8Array[], piece: Uint8Array): void {
  const first = pieces[0]!
  if (first.length + piece.length <= SMALL) pieces[0] = Buffer.concat([piece, first])
  else pieces.unshift(piece)
}

function append(pieces: Uint8Array[], piece: Uint8Array): void {
  const last = pieces[pieces.length - 1]!
  if (last.length + piece.length <= SMALL) pieces[pieces.length - 1] = Buffer.concat([last, piece])
  else pieces.push(piece)
}
