import { isUtf8 } from 'node:buffer'
import { toHex } from '#shared/bytes/hex.ts'
import { HeadReader, Major } from './head.ts'
import { CborError, type CborLimits } from './value.ts'

/** The longest bignum taken, bytes: arithmetic on it stays cheap. */
const maxBignumLength = 64

/**
 * Walks a message once without building anything, and throws CborError unless it is one well-formed, valid item inside the limits
 * (RFC 8949 §5.3, A-62): every length is checked against the bytes that are there before it is believed.
 *
 * Returns true where cbor-x reads the message the way that `CborValue` promises; false for what it lacks or does otherwise (64-bit
 * integers, tags, strings of indefinite length, unassigned simple values).
 */
export function scanCbor(bytes: Uint8Array, limits: CborLimits): boolean {
  if (bytes.length > limits.bytes) throw new CborError('size', `${bytes.length} bytes of CBOR, at most ${limits.bytes} are taken`)
  const scan = new Scan(bytes, limits)
  scan.item(0)
  if (scan.head.left > 0) throw new CborError('trailing', `${scan.head.left} bytes after the item`)
  return scan.plain
}

class Scan {
  readonly head: HeadReader
  plain = true
  readonly #limits: CborLimits
  #budget: number

  constructor(bytes: Uint8Array, limits: CborLimits) {
    this.head = new HeadReader(bytes)
    this.#limits = limits
    this.#budget = limits.items
  }

  /** One item with all that it contains; `depth` containers are around it. */
  item(depth: number): void {
    this.#spend(1)
    const { head } = this
    head.next()
    switch (head.major) {
      case Major.unsigned:
      case Major.negative:
        if (head.info === 27) this.plain = false
        break
      case Major.bytes:
      case Major.text:
        this.#string()
        break
      case Major.array:
        this.#array(depth + 1)
        break
      case Major.map:
        this.#map(depth + 1)
        break
      case Major.tag:
        this.#tag(depth + 1)
        break
      default:
        this.#simple()
    }
  }

  #spend(items: number): void {
    this.#budget -= items
    if (this.#budget < 0) throw new CborError('items', `more than ${this.#limits.items} items`)
  }

  #enter(depth: number): void {
    if (depth > this.#limits.depth) throw new CborError('depth', `nested deeper than ${this.#limits.depth}`)
  }

  #string(): void {
    const { head } = this
    const major = head.major
    if (!head.indefinite) {
      this.#chunk(major)
      return
    }
    this.plain = false
    while (!head.takeBreak()) {
      this.#spend(1)
      head.next()
      if (head.major !== major || head.indefinite)
        throw new CborError('malformed', 'a chunk of a string must be a string of the same kind and of definite length')
      this.#chunk(major)
    }
  }

  #chunk(major: number): void {
    const content = this.head.content()
    if (major === Major.text && !isUtf8(content)) throw new CborError('utf8', 'a text that is not UTF-8')
  }

  #array(depth: number): void {
    this.#enter(depth)
    const { head } = this
    if (head.indefinite) {
      while (!head.takeBreak()) this.item(depth)
      return
    }
    const count = this.#count(1)
    for (let i = 0; i < count; i++) this.item(depth)
  }

  #map(depth: number): void {
    this.#enter(depth)
    const { head } = this
    const indefinite = head.indefinite
    const count = indefinite ? Number.POSITIVE_INFINITY : this.#count(2)
    const keys = new Set<string>()
    for (let i = 0; i < count && !(indefinite && head.takeBreak()); i++) {
      const start = head.at
      this.item(depth)
      const key = keyName(head.bytes.subarray(start, head.at))
      if (keys.has(key)) throw new CborError('duplicate-key', 'the same key twice in one map')
      keys.add(key)
      this.item(depth)
    }
  }

  /** Each entry takes at least `size` bytes, so a count beyond what is left is a lie that need not be tried out. */
  #count(size: number): number {
    const count = this.head.argument
    if (count * size > this.head.left) throw new CborError('short', `${count} entries in ${this.head.left} bytes`)
    if (count * size > this.#budget) throw new CborError('items', `more than ${this.#limits.items} items`)
    return count
  }

  #tag(depth: number): void {
    this.#enter(depth)
    this.plain = false
    const tag = this.head.argument
    if (tag === 2 || tag === 3) this.#bignum(depth)
    else if (this.#limits.tags) this.item(depth)
    else throw new CborError('tag', `tag ${tag} is not taken here`)
  }

  #bignum(depth: number): void {
    const { head } = this
    const start = head.at
    if (head.left > 0 && (head.bytes[start] as number) >> 5 !== Major.bytes)
      throw new CborError('malformed', 'a bignum must hold a byte string')
    this.item(depth)
    if (head.at - start > maxBignumLength + 2) throw new CborError('size', `a bignum above ${maxBignumLength} bytes`)
  }

  #simple(): void {
    const { head } = this
    if (head.indefinite) throw new CborError('malformed', 'a break outside an item of indefinite length')
    if (head.info >= 25) {
      if (this.#limits.exactFloats) this.plain = false
      return
    }
    if (head.info === 24 && head.argument < 32)
      throw new CborError('malformed', `simple value ${head.argument} must not take two bytes`)
    if (head.info >= 20 && head.info < 24) return
    if (!this.#limits.tags) throw new CborError('tag', `simple value ${head.argument} is not taken here`)
    this.plain = false
  }
}

/**
 * A name that two keys share exactly when a Map would take them for the same: numbers by value, however encoded (1 is 1.0 to
 * JavaScript), other keys by their bytes, strings without their length's form.
 */
function keyName(item: Uint8Array): string {
  const head = new HeadReader(item)
  head.next()
  if (head.major === Major.unsigned) return `n${head.wideArgument}`
  if (head.major === Major.negative) return `n${-1n - BigInt(head.wideArgument)}`
  if (head.major === Major.simple && head.info >= 25) return `n${head.float}`
  if ((head.major === Major.bytes || head.major === Major.text) && !head.indefinite)
    return `s${head.major}${toHex(head.content())}`
  if (head.major !== Major.bytes && head.major !== Major.text) return `i${toHex(item)}`
  let content = ''
  const major = head.major
  while (!head.takeBreak()) {
    head.next()
    content += toHex(head.content())
  }
  return `s${major}${content}`
}
