/**
 * Writes one message from front to back into memory that the caller owns, big-endian unless said otherwise. Running past the end is
 * a defect of ours, not of a peer's, and throws RangeError.
 */
export class Writer {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = at
  }

  /** Offset of the next byte, which is the number written when writing began at 0. */
  get at(): number {
    return this.#at
  }

  u8(value: number): this {
    this.#view.setUint8(this.#take(1), value)
    return this
  }

  u16(value: number): this {
    this.#view.setUint16(this.#take(2), value)
    return this
  }

  u24(value: number): this {
    const at = this.#take(3)
    this.#view.setUint16(at, value >>> 8)
    this.#view.setUint8(at + 2, value)
    return this
  }

  u32(value: number): this {
    this.#view.setUint32(this.#take(4), value)
    return this
  }

  u64(value: bigint): this {
    this.#view.setBigUint64(this.#take(8), value)
    return this
  }

  u32le(value: number): this {
    this.#view.setUint32(this.#take(4), value, true)
    return this
  }

  u64le(value: bigint): this {
    this.#view.setBigUint64(this.#take(8), value, true)
    return this
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

  #take(length: number): number {
    if (this.#at + length > this.#bytes.length) throw new RangeError(`${length} bytes do not fit at offset ${this.#at}`)
    const at = this.#at
    this.#at += length
    return at
  }
}
