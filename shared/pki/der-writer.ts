import { Tag } from '#shared/pki/der.ts'

/** DER, writing side: each function gives one whole element. Inputs are our own, so a wrong one is a defect and throws RangeError. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, part) => sum + part.length, 0)
  const header = lengthOctets(length)
  const out = new Uint8Array(1 + header.length + length)
  out[0] = tag
  out.set(header, 1)
  let at = 1 + header.length
  for (const part of contents) {
    out.set(part, at)
    at += part.length
  }
  return out
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  if (octets.length > 3) throw new RangeError('DER element longer than 16 MB')
  return [0x80 | octets.length, ...octets]
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => element(Tag.Sequence, ...parts)

/** SET OF: DER orders the elements by their encodings. */
export const setOf = (...parts: readonly Uint8Array[]): Uint8Array =>
  element(Tag.Set, ...[...parts].sort((a, b) => Buffer.compare(a, b)))

export const octetString = (bytes: Uint8Array): Uint8Array => element(Tag.OctetString, bytes)

/** A BIT STRING of whole octets. */
export const bitString = (bytes: Uint8Array): Uint8Array => element(Tag.BitString, Uint8Array.of(0), bytes)

export const boolean = (value: boolean): Uint8Array => element(Tag.Boolean, Uint8Array.of(value ? 0xff : 0))

/** A non-negative INTEGER from its big-endian octets. */
export function unsignedInteger(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1
  const trimmed = bytes.length === 0 ? Uint8Array.of(0) : bytes.subarray(start)
  return (trimmed[0] ?? 0) >= 0x80 ? element(Tag.Integer, Uint8Array.of(0), trimmed) : element(Tag.Integer, trimmed)
}

export const smallInteger = (value: number): Uint8Array =>
  unsignedInteger(Uint8Array.of((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff))

/** Those that were written before: a certificate has a dozen, always the same, and arcs of any size want big numbers. */
const writtenOids = new Map<string, Uint8Array>()

export function oid(dotted: string): Uint8Array {
  let written = writtenOids.get(dotted)
  if (written === undefined) {
    written = writeOid(dotted)
    writtenOids.set(dotted, written)
  }
  return written
}

function writeOid(dotted: string): Uint8Array {
  const [root, second, ...rest] = dotted.split('.').map((arc) => BigInt(arc))
  if (root === undefined || second === undefined || root > 2n) throw new RangeError(`not an object identifier: ${dotted}`)
  const octets = [root * 40n + second, ...rest].flatMap(base128)
  return element(Tag.Oid, Uint8Array.from(octets))
}

function base128(arc: bigint): number[] {
  const octets = [Number(arc & 0x7fn)]
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) octets.unshift(Number(rest & 0x7fn) | 0x80)
  return octets
}

/** Named bits (KeyUsage): bit 0 of the definition is the lowest of `bits`; at most 9 bits, trailing zeros cut. */
export function namedBits(bits: number): Uint8Array {
  const highest = 31 - Math.clz32(bits)
  if (bits <= 0 || highest > 8) throw new RangeError('named bits out of range')
  const octets = new Uint8Array(Math.floor(highest / 8) + 1)
  for (let bit = 0; bit <= highest; bit++) if (bits & (1 << bit)) octets[bit >> 3]! |= 0x80 >> (bit & 7)
  return element(Tag.BitString, Uint8Array.of(7 - (highest & 7)), octets)
}

/** RFC 5280 §4.1.2.5: UTCTime to 2049, GeneralizedTime from 2050; whole seconds, cut down. */
export function time(ms: number): Uint8Array {
  const digits = timeDigits(ms)
  const year = Number(digits.slice(0, 4))
  return year >= 1950 && year < 2050 ? element(Tag.UtcTime, Buffer.from(digits.slice(2), 'latin1')) : generalizedTime(ms)
}

export const utf8String = (text: string): Uint8Array => element(Tag.Utf8String, Buffer.from(text, 'utf8'))

/** GeneralizedTime whatever the year, as OCSP wants it (RFC 6960 §4.2.2.1); whole seconds, cut down. */
export const generalizedTime = (ms: number): Uint8Array => element(Tag.GeneralizedTime, Buffer.from(timeDigits(ms), 'latin1'))

/** `20270131235959Z`. */
const timeDigits = (ms: number): string =>
  new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:T]/g, '')

/** ENUMERATED of one octet. */
export const enumerated = (value: number): Uint8Array => element(Tag.Enumerated, Uint8Array.of(value))
