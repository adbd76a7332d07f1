import { WireError } from './wire-error.ts'

/**
 * Reads one message from front to back, big-endian unless said otherwise. Every read past the end throws WireError `short`: a short
 * value is never returned. Views borrow the message's memory.
 */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
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
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2))
  }

  u24(): number {
    const at = this.#take(3)
    return this.#view.getUint16(at) * 0x100 + this.#view.getUint8(at + 2)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8))
  }

  u32le(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64le(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
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

  #take(length: number): number {
    if (!(length >= 0) || length > this.left)
      throw new WireError('short', `${length} bytes wanted at offset ${this.#at}, ${this.left} left`)
    const at = this.#at
    this.#at += length
    return at
  }
}
