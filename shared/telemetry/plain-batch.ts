import type { Reading, ReadingValue } from './reading.ts'
import { isReadingName } from './topics.ts'

/** Most rows, and characters of a unit: what `reading.ts` limits, so that everything taken here is taken there. */
export interface PlainLimits {
  readonly readings: number
  readonly unitLength: number
}

/** Of an item's first byte (RFC 8949 §3.1): the major types that occur here, and the whole byte of those without argument. */
const unsigned = 0
const negative = 1
const text = 3
const array = 4
const itemFalse = 0xf4
const itemTrue = 0xf5
const itemNull = 0xf6
const itemDouble = 0xfb

/** Texts of one batch that are remembered: a device has few names and units, and says them again and again. */
const mostTexts = 16

/** Not what is read here. */
const other = -1

/**
 * A batch read in one pass, without items in between: a third of the time that scanning, decoding and judging take one after the
 * other. It takes the batches that agents send all day (numbers, ASCII texts, booleans, null) and returns undefined for everything
 * else, valid or not: `decodeBatch` then says what that is. What it takes, `decodeAnyBatch` reads the same way; a test holds them so.
 */
export function readPlainBatch(
  bytes: Uint8Array,
  version: number,
  limits: PlainLimits,
): { boot: number; readings: Reading[] } | undefined {
  const reader = new PlainReader(bytes)
  if (reader.argument(array) !== 3 || reader.argument(unsigned) !== version) return undefined
  const boot = reader.whole()
  const count = reader.argument(array)
  if (boot < 1 || count < 0 || count > limits.readings) return undefined
  const readings: Reading[] = []
  let last = 0
  for (let i = 0; i < count; i++) {
    const reading = readReading(reader, limits.unitLength)
    if (reading === undefined || reading.seq <= last) return undefined
    last = reading.seq
    readings.push(reading)
  }
  return reader.atEnd ? { boot, readings } : undefined
}

function readReading(reader: PlainReader, unitLength: number): Reading | undefined {
  if (reader.argument(array) !== 6) return undefined
  const seq = reader.whole()
  const name = reader.text()
  if (seq < 1 || name === undefined || !name.isName) return undefined
  const value = reader.value()
  if (value === undefined) return undefined
  const unit = reader.isNull() ? null : reader.text()
  if (unit === undefined || (unit !== null && unit.content.length > unitLength)) return undefined
  const at = reader.whole()
  const quality = reader.whole()
  if (at < 0 || quality < 0) return undefined
  return { seq, name: name.content, value, unit: unit === null ? null : unit.content, at, quality }
}

/** An ASCII text, and where its bytes stand. */
interface PlainText {
  readonly start: number
  readonly length: number
  readonly content: string
  readonly isName: boolean
}

class PlainReader {
  readonly #bytes: Buffer
  readonly #texts: PlainText[] = []
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The argument of an item of this major type; `other` where another stands there, or one of 64 bits or indefinite length. */
  argument(major: number): number {
    const bytes = this.#bytes
    const at = this.#at
    const first = bytes[at]
    if (first === undefined || first >> 5 !== major) return other
    const info = first & 31
    if (info < 24) {
      this.#at = at + 1
      return info
    }
    const size = info === 24 ? 1 : info === 25 ? 2 : info === 26 ? 4 : 0
    if (size === 0 || at + size >= bytes.length) return other
    this.#at = at + 1 + size
    return size === 1 ? bytes[at + 1]! : size === 2 ? bytes.readUInt16BE(at + 1) : bytes.readUInt32BE(at + 1)
  }

  /** A number from 0 to 2^53 - 1, which above 2^32 travels as a double. */
  whole(): number {
    if (this.#bytes[this.#at] !== itemDouble) return this.argument(unsigned)
    const value = this.#double()
    // A negative zero is a matter for the other decoder.
    return Number.isSafeInteger(value) && value > 0 ? value : other
  }

  isNull(): boolean {
    if (this.#bytes[this.#at] !== itemNull) return false
    this.#at++
    return true
  }

  value(): ReadingValue | undefined {
    const first = this.#bytes[this.#at]
    if (first === undefined) return undefined
    if (first === itemDouble) {
      const value = this.#double()
      return Number.isFinite(value) ? value : undefined
    }
    if (first === itemFalse || first === itemTrue || first === itemNull) {
      this.#at++
      return first === itemNull ? null : first === itemTrue
    }
    const major = first >> 5
    if (major === text) return this.text()?.content
    if (major !== unsigned && major !== negative) return undefined
    const argument = this.argument(major)
    if (argument === other) return undefined
    return major === unsigned ? argument : -1 - argument
  }

  /** A text of ASCII characters alone. */
  text(): PlainText | undefined {
    const length = this.argument(text)
    const start = this.#at
    if (length === other || start + length > this.#bytes.length) return undefined
    this.#at = start + length
    return this.#known(start, length) ?? this.#newText(start, length)
  }

  #known(start: number, length: number): PlainText | undefined {
    const bytes = this.#bytes
    for (const known of this.#texts) {
      if (known.length !== length) continue
      let i = 0
      while (i < length && bytes[known.start + i] === bytes[start + i]) i++
      if (i === length) return known
    }
    return undefined
  }

  #newText(start: number, length: number): PlainText | undefined {
    for (let i = start; i < start + length; i++) if (this.#bytes[i]! > 127) return undefined
    const content = this.#bytes.toString('latin1', start, start + length)
    const known = { start, length, content, isName: isReadingName(content) }
    if (this.#texts.length < mostTexts) this.#texts.push(known)
    return known
  }

  /** A double (RFC 8949 §3.3), NaN where the bytes end inside it. */
  #double(): number {
    const at = this.#at
    if (at + 9 > this.#bytes.length) return Number.NaN
    this.#at = at + 9
    return this.#bytes.readDoubleBE(at + 1)
  }
}
