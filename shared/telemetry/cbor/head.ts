import { CborError } from './value.ts'

/** Of an item's first byte (RFC 8949 §3.1). */
export const Major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const

export const breakByte = 0xff

/**
 * Reads item heads: major type, additional information and argument. One object is reused for all heads of a message, since a scan
 * makes thousands of them.
 */
export class HeadReader {
  readonly bytes: Uint8Array
  readonly #view: DataView
  at = 0
  major = 0
  /** Additional information, 0..31. */
  info = 0
  /** The argument; above 2^53 only an approximation, then `wideArgument` is exact. */
  argument = 0
  /** Head of an indefinite-length item, or a break. */
  indefinite = false

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  /** Throws CborError `short` or `malformed`. */
  next(): void {
    const first = this.#number(1)
    this.major = first >> 5
    this.info = first & 31
    this.indefinite = this.info === 31
    if (this.info < 24) this.argument = this.info
    else if (this.info === 24) this.argument = this.#number(1)
    else if (this.info === 25) this.argument = this.#number(2)
    else if (this.info === 26) this.argument = this.#number(4)
    else if (this.info === 27) {
      const high = this.#number(4)
      this.argument = high * 0x1_0000_0000 + this.#number(4)
    } else if (!this.indefinite) throw new CborError('malformed', `additional information ${this.info} is reserved`)
    else if (this.major < 2 || this.major === Major.tag)
      throw new CborError('malformed', `major type ${this.major} has no indefinite length`)
  }

  /** The argument of the last head, exact: a number while safe, a bigint beyond. */
  get wideArgument(): number | bigint {
    return Number.isSafeInteger(this.argument) ? this.argument : this.#view.getBigUint64(this.at - 8)
  }

  /** The float of the last head (info 25, 26, 27). */
  get float(): number {
    if (this.info === 25) return halfFloat(this.argument)
    return this.info === 26 ? this.#view.getFloat32(this.at - 4) : this.#view.getFloat64(this.at - 8)
  }

  /** A view of the string's content that follows the last head. Throws CborError `short`. */
  content(): Uint8Array {
    if (this.argument > this.left) throw new CborError('short', `a string of ${this.argument} bytes with ${this.left} left`)
    this.at += this.argument
    return this.bytes.subarray(this.at - this.argument, this.at)
  }

  /** True, and consumed, where a break comes next. Throws CborError `short` at the end. */
  takeBreak(): boolean {
    if (this.left === 0) throw new CborError('short', 'an item of indefinite length without its break')
    if (this.bytes[this.at] !== breakByte) return false
    this.at++
    return true
  }

  #number(size: 1 | 2 | 4): number {
    if (this.left < size) throw new CborError('short', 'the input ends inside the head of an item')
    const at = this.at
    this.at += size
    if (size === 1) return this.#view.getUint8(at)
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at)
  }
}

/** RFC 8949 appendix D. */
function halfFloat(bits: number): number {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const magnitude =
    exponent === 0
      ? fraction * 2 ** -24
      : exponent < 31
        ? (1024 + fraction) * 2 ** (exponent - 25)
        : fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
  return bits & 0x8000 ? -magnitude : magnitude
}
