/**
 * Writes one message from front to back into memory that the caller owns, big-endian unless said otherwise. Running past the end is
 * a defect of ours, not of a peer's, and throws RangeError.
 *
 * Byte by byte: a DataView over the short arrays that messages are made of would move each out of the collector's heap, at 1 us.
 */
export class Writer {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  /** Offset of the next byte, which is the number written when writing began at 0. */
  get at(): number {
    return this.#at
  }

  u8(value: number): this {
    this.#bytes[this.#take(1)] = value
    return this
  }

  u16(value: number): this {
    const at = this.#take(2)
    this.#bytes[at] = value >>> 8
    this.#bytes[at + 1] = value
    return this
  }

  u24(value: number): this {
    const at = this.#take(3)
    this.#bytes[at] = value >>> 16
    this.#bytes[at + 1] = value >>> 8
    this.#bytes[at + 2] = value
    return this
  }

  u32(value: number): this {
    const at = this.#take(4)
    this.#bytes[at] = value >>> 24
    this.#bytes[at + 1] = value >>> 16
    this.#bytes[at + 2] = value >>> 8
    this.#bytes[at + 3] = value
    return this
  }

  u64(value: bigint): this {
    this.#need(8)
    return this.u32(highOf(value)).u32(lowOf(value))
  }

  u32le(value: number): this {
    const at = this.#take(4)
    this.#bytes[at] = value
    this.#bytes[at + 1] = value >>> 8
    this.#bytes[at + 2] = value >>> 16
    this.#bytes[at + 3] = value >>> 24
    return this
  }

  u64le(value: bigint): this {
    this.#need(8)
    return this.u32le(lowOf(value)).u32le(highOf(value))
  }

  bytes(value: Uint8Array): this {
    this.#bytes.set(value, this.#take(value.length))
    return this
  }

  zeros(length: number): this {
    const at = this.#take(length)
    this.#bytes.fill(0, at, at + length)
    return this
  }

  /** All that was written, borrowed. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  #need(length: number): void {
    if (this.#at + length > this.#bytes.length) throw new RangeError(`${length} bytes do not fit at offset ${this.#at}`)
  }

  #take(length: number): number {
    this.#need(length)
    const at = this.#at
    this.#at += length
    return at
  }
}

const highOf = (value: bigint): number => Number(BigInt.asUintN(32, value >> 32n))
const lowOf = (value: bigint): number => Number(BigInt.asUintN(32, value))
