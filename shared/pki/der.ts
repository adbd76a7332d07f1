import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * Distinguished Encoding Rules (ITU-T X.690 §8, §10), reading side. Strict: definite lengths in the fewest octets, low tag numbers only,
 * nothing past the end. Works on views of the caller's bytes and copies nothing. Throws PkiError `der-malformed`, never anything else.
 */
export const Tag = {
  Boolean: 0x01,
  Integer: 0x02,
  BitString: 0x03,
  OctetString: 0x04,
  Null: 0x05,
  Oid: 0x06,
  Enumerated: 0x0a,
  Utf8String: 0x0c,
  PrintableString: 0x13,
  T61String: 0x14,
  Ia5String: 0x16,
  UtcTime: 0x17,
  GeneralizedTime: 0x18,
  UniversalString: 0x1c,
  BmpString: 0x1e,
  Sequence: 0x30,
  Set: 0x31,
} as const

/** Context-specific constructed tag `[n]`. */
export const contextConstructed = (n: number): number => 0xa0 | n

/** Longest object identifier read, in content octets: a 128-bit arc takes 19. */
const oidLimit = 64

export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  /** Header and content. */
  readonly whole: Uint8Array
}

/** Walks the elements of one constructed value, in order. */
export class DerReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** The tag of the next element; undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at]
  }

  /** The next element, which must have `tag` where one is given. */
  next(tag?: number): Element {
    const element = readElement(this.#bytes, this.#at)
    if (tag !== undefined && element.tag !== tag) {
      throw malformed(`tag ${hex(element.tag)} stands where ${hex(tag)} should`)
    }
    this.#at += element.whole.length
    return element
  }

  optional(tag: number): Element | undefined {
    return this.peek() === tag ? this.next(tag) : undefined
  }

  content(tag: number): Uint8Array {
    return this.next(tag).content
  }

  sequence(): DerReader {
    return new DerReader(this.content(Tag.Sequence))
  }

  oid(): string {
    return readOid(this.content(Tag.Oid))
  }

  /** Demands that nothing is left. */
  end(): void {
    if (!this.done) throw malformed('bytes stand after the last element')
  }
}

/** One element that fills `bytes` wholly. */
export function readWhole(bytes: Uint8Array, tag: number): Uint8Array {
  const reader = new DerReader(bytes)
  const content = reader.content(tag)
  reader.end()
  return content
}

function readElement(bytes: Uint8Array, at: number): Element {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined) throw malformed('an element is cut short')
  if ((tag & 0x1f) === 0x1f) throw malformed('a high tag number')
  let length = first
  let header = 2
  if (first >= 0x80) {
    const octets = first & 0x7f
    if (octets === 0 || octets > 3) throw malformed('an indefinite or oversized length')
    length = 0
    for (let i = 0; i < octets; i++) {
      const octet = bytes[at + 2 + i]
      if (octet === undefined) throw malformed('a length is cut short')
      length = length * 256 + octet
    }
    header += octets
    if (length < 0x80 || length < 256 ** (octets - 1)) throw malformed('a length in more octets than needed')
  }
  const end = at + header + length
  if (end > bytes.length) throw malformed('an element reaches past its parent')
  return { tag, content: bytes.subarray(at + header, end), whole: bytes.subarray(at, end) }
}

/** Arcs up to this stay exact when seven bits more are added to them. */
const exactArc = Number.MAX_SAFE_INTEGER / 128 - 1

/** Dotted text of an object identifier's content octets; arcs of any size (X.667 makes them 128 bits). */
export function readOid(content: Uint8Array): string {
  if (content.length === 0 || content.length > oidLimit) throw malformed('an object identifier of a wrong length')
  let text = ''
  let arc = 0
  let begun = false
  for (const octet of content) {
    if (!begun && octet === 0x80) throw malformed('an object identifier with a padded arc')
    if (arc > exactArc) return readLongOid(content)
    arc = arc * 128 + (octet & 0x7f)
    begun = (octet & 0x80) !== 0
    if (begun) continue
    if (text === '') {
      const root = Math.min(Math.floor(arc / 40), 2)
      text = `${root}.${arc - root * 40}`
    } else text += `.${arc}`
    arc = 0
  }
  if (begun) throw malformed('an object identifier is cut short')
  return text
}

/** The same for arcs beyond 2^53. */
function readLongOid(content: Uint8Array): string {
  const arcs: bigint[] = []
  let arc = 0n
  let begun = false
  for (const octet of content) {
    if (!begun && octet === 0x80) throw malformed('an object identifier with a padded arc')
    arc = (arc << 7n) | BigInt(octet & 0x7f)
    begun = (octet & 0x80) !== 0
    if (begun) continue
    arcs.push(arc)
    arc = 0n
  }
  if (begun) throw malformed('an object identifier is cut short')
  const [joint = 0n, ...rest] = arcs
  const root = joint < 40n ? 0n : joint < 80n ? 1n : 2n
  return [root, joint - root * 40n, ...rest].join('.')
}

/** DER knows one true: FF. */
export function readBoolean(content: Uint8Array): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw malformed('a boolean other than 00 or FF')
  return content[0] === 0xff
}

/** Content octets of an INTEGER, checked to be the fewest. */
export function checkInteger(content: Uint8Array): Uint8Array {
  const [first, second] = content
  if (first === undefined) throw malformed('an empty integer')
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw malformed('an integer in more octets than needed')
  }
  return content
}

/** A small non-negative INTEGER (below 2^31). */
export function readSmallInteger(content: Uint8Array): number {
  checkInteger(content)
  if (content.length > 4 || (content[0] ?? 0) >= 0x80) throw malformed('an integer out of range')
  return content.reduce((value, octet) => value * 256 + octet, 0)
}

/** A BIT STRING that must be whole octets. */
export function readOctetBits(content: Uint8Array): Uint8Array {
  if (content[0] !== 0) throw malformed('a bit string that is not whole octets')
  return content.subarray(1)
}

/** A named-bit list (KeyUsage) as a number, bit 0 of the definition lowest; at most 16 bits; trailing zero bits are refused. */
export function readNamedBits(content: Uint8Array): number {
  const unused = content[0] ?? 8
  const octets = content.subarray(1)
  const last = octets.at(-1)
  if (unused > 7 || octets.length > 2 || (last === undefined && unused !== 0)) throw malformed('a bit list of a wrong shape')
  if (last !== undefined && (last & (1 << unused)) === 0) throw malformed('a bit list with trailing zeros')
  if (last !== undefined && (last & ((1 << unused) - 1)) !== 0) throw malformed('a bit list with bits where none can be')
  let bits = 0
  for (const [i, octet] of octets.entries()) {
    for (let bit = 0; bit < 8; bit++) if (octet & (0x80 >> bit)) bits |= 1 << (i * 8 + bit)
  }
  return bits
}

/**
 * UTCTime or GeneralizedTime in the one form of RFC 5280 §4.1.2.5, as milliseconds since 1970: seconds present, `Z`, no fraction; years
 * to 2049 as UTCTime, from 2050 as GeneralizedTime.
 */
export function readTime(element: Element): number {
  const text = ascii(element.content)
  const utc = element.tag === Tag.UtcTime
  if (!utc && element.tag !== Tag.GeneralizedTime) throw malformed('a time of an unknown type')
  if (!(utc ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw malformed('a time in another form than RFC 5280 has')
  const short = utc ? Number(text.slice(0, 2)) : 0
  const year = utc ? short + (short < 50 ? 2000 : 1900) : Number(text.slice(0, 4))
  if (!utc && year < 2050) throw malformed('a time before 2050 as GeneralizedTime')
  const rest = text.slice(utc ? 2 : 4)
  const part = (i: number): number => Number(rest.slice(i * 2, i * 2 + 2))
  const date = new Date(0)
  date.setUTCFullYear(year, part(0) - 1, part(1))
  date.setUTCHours(part(2), part(3), part(4))
  const exact =
    date.getUTCMonth() === part(0) - 1 && date.getUTCDate() === part(1) && part(2) < 24 && part(3) < 60 && part(4) < 60
  if (!exact) throw malformed('a time that does not exist')
  return date.getTime()
}

/** Bytes as text, one character an octet. */
export const ascii = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

export const malformed = (why: string): PkiError => new PkiError('der-malformed', `DER: ${why}`)

const hex = (tag: number): string => tag.toString(16).padStart(2, '0')
