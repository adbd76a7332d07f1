/** The smallest block, bytes. */
const SMALLEST = 512

/** Size of every block but a lone first one, bytes. */
const BLOCK_BITS = 15
const BLOCK = 1 << BLOCK_BITS
const IN_BLOCK = BLOCK - 1

/** Whole blocks that are kept for the next connection in need: as many as one connection fills at half of its longest buffer. */
const MOST_SPARE = 16

const spare: Buffer[] = []

/**
 * Bytes written by the program and not yet acknowledged. It copies what it takes, so that the writer may reuse its buffer as soon as its
 * callback ran. A few bytes have a small block, which doubles; from 32 KiB on, blocks of that size follow each other, and go from hand to hand:
 * left to the garbage collector, they would outlive a transfer by minutes, ten megabytes of them. A connection without bytes has no buffer.
 */
export class SendBuffer {
  /** All but a lone first one have BLOCK bytes; the first byte held is in the first, the last one in the last. */
  readonly #blocks: Buffer[] = []
  /** Where the oldest byte is in the first block. */
  #head = 0
  /** Bytes held. */
  length = 0
  /** Bytes of memory. */
  capacity = 0

  /** Appends `chunk[from..to]`. */
  append(chunk: Uint8Array, from: number, to: number): void {
    this.#makeRoom(to - from)
    for (let at = from; at < to; ) {
      const tail = this.#head + this.length
      const block = this.#blocks[tail >> BLOCK_BITS]!
      const start = tail & IN_BLOCK
      const count = Math.min(to - at, block.length - start)
      block.set(at === 0 && count === chunk.length ? chunk : chunk.subarray(at, at + count), start)
      this.length += count
      at += count
    }
  }

  /** Copies `count` bytes that start `offset` after the oldest one to `target[at..]`. */
  copyTo(offset: number, count: number, target: Uint8Array, at: number): void {
    for (let position = this.#head + offset, left = count; left > 0; ) {
      const start = position & IN_BLOCK
      const part = Math.min(left, BLOCK - start)
      target.set(this.#blocks[position >> BLOCK_BITS]!.subarray(start, start + part), at + count - left)
      position += part
      left -= part
    }
  }

  /** Forgets the oldest `count` bytes, and with the last one all memory. */
  drop(count: number): void {
    this.length -= count
    this.#head += count
    while (this.#blocks.length > 0 && (this.length === 0 || this.#head >= BLOCK)) {
      this.#letGo(this.#blocks.shift()!)
      this.#head = Math.max(0, this.#head - BLOCK)
    }
  }

  #makeRoom(count: number): void {
    const end = this.#head + this.length + count
    if (end > this.capacity && this.capacity < BLOCK) this.#fitFirst(count)
    while (this.#head + this.length + count > this.capacity) this.#take(BLOCK)
  }

  /** A lone small block: bytes move to its start where that makes ample room, else to a larger one. */
  #fitFirst(count: number): void {
    const old = this.#blocks.pop()
    const needed = this.length + count
    if (old !== undefined && 2 * needed <= old.length) {
      old.copyWithin(0, this.#head, this.#head + this.length)
      this.#blocks.push(old)
    } else {
      const size = Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(needed)), 2 * (old?.length ?? 0))
      const block = this.#take(Math.min(BLOCK, size))
      if (old !== undefined) {
        block.set(old.subarray(this.#head, this.#head + this.length))
        this.#letGo(old)
      }
    }
    this.#head = 0
  }

  #take(size: number): Buffer {
    const block =
      (size === BLOCK ? spare.pop() : undefined) ?? (size <= 2048 ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size))
    this.#blocks.push(block)
    this.capacity += size
    return block
  }

  #letGo(block: Buffer): void {
    this.capacity -= block.length
    if (block.length === BLOCK && spare.length < MOST_SPARE) spare.push(block)
  }
}
