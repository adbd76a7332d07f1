/**
 * What CBOR can say (RFC 8949), in JavaScript. Integers are numbers while they are safe, bigints beyond. Maps are Maps, never
 * objects, so that no key can reach a prototype; an encoder also takes plain objects, whose keys are texts.
 */
export type CborValue =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborValue[]
  | ReadonlyMap<CborValue, CborValue>
  | { readonly [key: string]: CborValue }
  | CborTag
  | CborSimple
  | CborFloat

/** A tag and its content, uninterpreted: nothing is ever built from it. */
export class CborTag {
  readonly tag: number | bigint
  readonly content: CborValue
  constructor(tag: number | bigint, content: CborValue) {
    this.tag = tag
    this.content = content
  }
}

/** A simple value without a meaning of its own: 0..19, 32..255. */
export class CborSimple {
  readonly code: number
  constructor(code: number) {
    this.code = code
  }
}

/** A float whose value is an integer, where `exactFloats` asks to tell 1.0 from 1. */
export class CborFloat {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

/** The bytes are not acceptable CBOR. The code names the broken rule. */
export class CborError extends Error {
  override readonly name = 'CborError'
  readonly code: CborErrorCode
  constructor(code: CborErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export type CborErrorCode =
  /** Ends inside an item. */
  | 'short'
  /** Bytes after the item. */
  | 'trailing'
  /** Breaks RFC 8949 §3 or appendix F. */
  | 'malformed'
  /** Nested deeper than the limit. */
  | 'depth'
  /** More items than the budget. */
  | 'items'
  /** More bytes than the limit, or a bignum above 64 bytes. */
  | 'size'
  /** A text that is not UTF-8. */
  | 'utf8'
  /** The same key twice in one map. */
  | 'duplicate-key'
  /** A tag, or an unassigned simple value, where none is taken. */
  | 'tag'
  /** A value that CBOR cannot say (encoder only). */
  | 'type'

export interface CborLimits {
  /** Nesting of arrays, maps and tags; a bare number has depth 0. */
  readonly depth: number
  /** Items in all: each value, key, tag and string chunk is one. */
  readonly items: number
  /** Length of the whole, bytes. */
  readonly bytes: number
  /** Take tags other than bignums, and unassigned simple values, as CborTag and CborSimple; refused otherwise. */
  readonly tags: boolean
  /** Return floats that hold an integer as CborFloat, so that re-encoding gives the same bytes. */
  readonly exactFloats: boolean
}

/** enough for every message of ours, too little to hurt. */
export const defaultLimits: CborLimits = { depth: 16, items: 4096, bytes: 1 << 20, tags: false, exactFloats: false }
