import { ReassemblyQueue } from '#shared/netstack/tcp/reassembly-queue.ts'

/** Bytes of the largest block that in-order payload is gathered in. */
const LARGEST_SLAB = 32_768

/**
 * What the peer sent and the program has not taken: bytes in order, ready to be read, and pieces that wait for a hole before them. Bulk
 * payload is gathered in blocks that grow while the flow lasts, so that the reader gets few large pieces; a lone small segment gets memory of
 * its own size, so that a quiet connection holds no more than it was sent.
 */
export class ReceiveQueue {
  /** Bytes in order and unread. */
  ready = 0
  /** The last segment in order had PSH: its sender had nothing more to send. */
  pushed = false
  readonly reassembly = new ReassemblyQueue()
  readonly #pieces: Uint8Array[] = []
  #taken = 0
  #slab: Buffer | undefined
  #slabRead = 0
  #slabEnd = 0
  /** Size that the next block should have, bytes. */
  #slabSize = 0

  get isEmpty(): boolean {
    return this.ready === 0 && this.reassembly.bytes === 0
  }

  /** Appends a copy of `source[from..from + count]`, the next bytes in order. */
  append(source: Uint8Array, from: number, count: number): void {
    let slab = this.#slab
    if (slab === undefined || this.#slabEnd + count > slab.length) {
      if (slab !== undefined) {
        this.#seal()
        this.#slabSize = Math.min(LARGEST_SLAB, Math.max(2048, this.#slabSize * 4))
      }
      const size = Math.max(count, this.#slabSize)
      slab = size <= 2048 ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size)
      this.#slab = slab
      this.#slabRead = 0
      this.#slabEnd = 0
    }
    slab.set(source.subarray(from, from + count), this.#slabEnd)
    this.#slabEnd += count
    this.ready += count
  }

  /** Appends a piece that came out of order, without copying. */
  appendPiece(piece: Uint8Array): void {
    this.#seal()
    this.#slab = undefined
    this.#pieces.push(piece)
    this.ready += piece.length
  }

  /** The next bytes in order, as many as lie together; they belong to the caller. */
  take(): Uint8Array | undefined {
    const piece = this.#pieces[this.#taken]
    if (piece !== undefined) {
      this.#taken++
      if (this.#taken === this.#pieces.length) {
        this.#pieces.length = 0
        this.#taken = 0
      }
      this.ready -= piece.length
      return piece
    }
    if (this.#slab === undefined || this.#slabEnd === this.#slabRead) return undefined
    const rest = this.#slab.subarray(this.#slabRead, this.#slabEnd)
    this.#slabRead = this.#slabEnd
    this.ready -= rest.length
    return rest
  }

  /**
   * To be asked when everything is read. If the peer paused (`pushed`), the block is not kept for more; true where not even the queue is worth
   * keeping.
   */
  endOfBurst(): boolean {
    if (!this.pushed) return false
    this.pushed = false
    this.#slab = undefined
    this.#slabSize >>= 2
    return this.#slabSize < 1024
  }

  #seal(): void {
    if (this.#slab === undefined || this.#slabEnd === this.#slabRead) return
    this.#pieces.push(this.#slab.subarray(this.#slabRead, this.#slabEnd))
    this.#slabRead = this.#slabEnd
  }
}
