/** The smallest ring, bytes; sizes are powers of two. */
const SMALLEST = 512

/**
 * Bytes written by the program and not yet acknowledged: a ring that grows by doubling. It copies what it takes, so that the writer may
 * reuse its buffer as soon as its callback ran. A connection without such bytes has no ring at all.
 */
export class SendBuffer {
  #ring: Buffer
  #head = 0
  /** Bytes held. */
  length = 0

  /** `expected`: bytes about to be appended. */
  constructor(expected: number) {
    this.#ring = allocate(sizeFor(expected))
  }

  /** Bytes of memory. */
  get capacity(): number {
    return this.#ring.length
  }

  /** Appends `chunk[from..to]`. */
  append(chunk: Uint8Array, from: number, to: number): void {
    const count = to - from
    if (this.length + count > this.#ring.length) this.#grow(this.length + count)
    const ring = this.#ring
    const tail = (this.#head + this.length) & (ring.length - 1)
    const first = Math.min(count, ring.length - tail)
    ring.set(from === 0 && first === chunk.length ? chunk : chunk.subarray(from, from + first), tail)
    if (first < count) ring.set(chunk.subarray(from + first, to), 0)
    this.length += count
  }

  /** Copies `count` bytes that start `offset` after the oldest one to `target[at..]`. */
  copyTo(offset: number, count: number, target: Uint8Array, at: number): void {
    const ring = this.#ring
    const start = (this.#head + offset) & (ring.length - 1)
    const first = Math.min(count, ring.length - start)
    target.set(ring.subarray(start, start + first), at)
    if (first < count) target.set(ring.subarray(0, count - first), at + first)
  }

  /** Forgets the oldest `count` bytes. */
  drop(count: number): void {
    this.#head = (this.#head + count) & (this.#ring.length - 1)
    this.length -= count
  }

  #grow(needed: number): void {
    const ring = allocate(sizeFor(needed))
    this.copyTo(0, this.length, ring, 0)
    this.#ring = ring
    this.#head = 0
  }
}

const sizeFor = (bytes: number): number => Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(bytes)))

const allocate = (size: number): Buffer => (size <= 2048 ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size))
