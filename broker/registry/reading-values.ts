import { decodeCbor, encodeCbor } from '#shared/telemetry/cbor.ts'
import type { ReadingValue } from '#shared/telemetry/reading.ts'

/**
 * The values of many readings as CBOR, one behind the other in one buffer: the database takes it as one parameter and cuts each row's
 * own piece out of it, so that the event loop neither copies nor binds value by value.
 */
export class ReadingValues {
  #buffer = Buffer.allocUnsafe(16 * 1024)
  #length = 0

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Bytes taken so far: where the next value begins (from 0). */
  get length(): number {
    return this.#length
  }

  /** Appends a value. */
  add(value: ReadingValue): void {
    if (typeof value === 'number') this.#addNumber(value)
    else this.#addBytes(encodeCbor(value as never))
  }

  /** Most readings are numbers: a double (CBOR 0xfb, RFC 8949 §3.3), or a small count as one to three bytes. */
  #addNumber(value: number): void {
    this.#reserve(9)
    const buffer = this.#buffer
    if (Number.isInteger(value) && value >= 0 && value <= 0xffff && !Object.is(value, -0)) {
      if (value < 24) buffer[this.#length++] = value
      else if (value <= 0xff) {
        buffer[this.#length++] = 0x18
        buffer[this.#length++] = value
      } else {
        buffer[this.#length++] = 0x19
        this.#length = buffer.writeUInt16BE(value, this.#length)
      }
      return
    }
    buffer[this.#length++] = 0xfb
    this.#length = buffer.writeDoubleBE(value, this.#length)
  }

  #addBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + more))
    larger.set(this.bytes)
    this.#buffer = larger
  }
}

/** A stored value as it was read. */
export const readingValue = (bytes: Uint8Array): ReadingValue => decodeCbor(bytes) as ReadingValue
