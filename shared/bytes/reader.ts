import { WireError } from './wire-error.ts'

/**
 * Reads one message from front to back, big-endian unless said otherwise. Every read past the end throws WireError `short`: a short
 * value is never returned. Views borrow the message's memory. Byte by byte, for the reason that Writer gives.
 */
export class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Offset of the next byte. */
  get at(): number {
    return this.#at
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!
  }

  u16(): number {
    const at = this.#take(2)
    return (this.#bytes[at]! << 8) | this.#bytes[at + 1]!
  }

  u24(): number {
    const at = this.#take(3)
    return (this.#bytes[at]! << 16) | (this.#bytes[at + 1]! << 8) | this.#bytes[at + 2]!
  }

  u32(): number {
    const at = this.#take(4)
    const bytes = this.#bytes
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }

  u64(): bigint {
    this.#need(8)
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32())
  }

  u32le(): number {
    const at = this.#take(4)
    const bytes = this.#bytes
    return ((bytes[at + 3]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 1]! << 8) | bytes[at]!) >>> 0
  }

  u64le(): bigint {
    this.#need(8)
    return BigInt(this.u32le()) | (BigInt(this.u32le()) << 32n)
  }

  /** A view of the next `length` bytes, borrowed. */
  view(length: number): Uint8Array {
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** A fresh copy of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    return this.view(length).slice()
  }

  /** A view of all that is left, borrowed. */
  rest(): Uint8Array {
    return this.view(this.left)
  }

  skip(length: number): void {
    this.#take(length)
  }

  /** Throws WireError `trailing` where bytes are left. */
  end(): void {
    if (this.left > 0) throw new WireError('trailing', `${this.left} bytes after the end of the message`)
  }

  #need(length: number): void {
    if (!(length >= 0) || length > this.left)
      throw new WireError('short', `${length} bytes wanted at offset ${this.#at}, ${this.left} left`)
  }

  #take(length: number): number {
    this.#need(length)
    const at = this.#at
    this.#at += length
    return at
  }
}
