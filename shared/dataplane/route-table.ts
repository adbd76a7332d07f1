import { wordAt } from '#shared/bytes/word.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'

/**
 * Longest-prefix routes of both families, as two path-compressed binary tries. Addresses are held as four 32-bit words (IPv4 uses
 * the first), so that a lookup reads the packet in place and makes no object. Ten thousand host routes of both families take
 * about 4 MB; a lookup visits some fifteen nodes.
 */
export class RouteTable<T> {
  readonly #roots: { v4: Node<T> | undefined; v6: Node<T> | undefined } = { v4: undefined, v6: undefined }
  readonly #key = new Int32Array(4)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Masks host bits; an equal prefix is replaced. `cidr` without "/n" is a host route. Throws on text that is no prefix. */
  insert(cidr: string, value: T): void {
    const { family, key, length } = prefixOf(cidr)
    const root = this.#roots[family]
    const made = new Node<T>(key, length, value)
    this.#roots[family] = root === undefined ? made : this.#insertBelow(root, made)
    if (root === undefined) this.#size++
  }

  /** Removes exactly this prefix; returns whether it was there. */
  remove(cidr: string): boolean {
    const { family, key, length } = prefixOf(cidr)
    const before = this.#size
    this.#roots[family] = this.#without(this.#roots[family], (node) => node.length === length && node.covers(key), key)
    return this.#size < before
  }

  /** Removes every route of `value`. Walks the whole table. */
  removeValue(value: T): void {
    for (const family of ['v4', 'v6'] as const) {
      this.#roots[family] = this.#without(this.#roots[family], (node) => node.value === value)
    }
  }

  /** The value of the longest prefix that covers the address of `width` (4 or 16) bytes at `bytes[at]`. */
  lookup(bytes: Uint8Array, at = 0, width = bytes.length): T | undefined {
    const key = this.#key
    loadWords(bytes, at, width, key)
    const bits = width * 8
    let node = width === 4 ? this.#roots.v4 : this.#roots.v6
    let best: T | undefined
    while (node?.covers(key)) {
      if (node.value !== undefined) best = node.value
      if (node.length >= bits) break
      node = bitOf(key, node.length) === 0 ? node.zero : node.one
    }
    return best
  }

  #insertBelow(node: Node<T>, made: Node<T>): Node<T> {
    const shared = Math.min(commonBits(node, made), node.length, made.length)
    if (shared === node.length && shared === made.length) {
      if (node.value === undefined) this.#size++
      node.value = made.value
      return node
    }
    if (shared === node.length) {
      const side = made.bit(shared) === 0 ? 'zero' : 'one'
      const child = node[side]
      if (child === undefined) this.#size++
      node[side] = child === undefined ? made : this.#insertBelow(child, made)
      return node
    }
    this.#size++
    if (shared === made.length) {
      made[node.bit(shared) === 0 ? 'zero' : 'one'] = node
      return made
    }
    const fork = new Node<T>(made.words(), shared, undefined)
    fork[made.bit(shared) === 0 ? 'zero' : 'one'] = made
    fork[node.bit(shared) === 0 ? 'zero' : 'one'] = node
    return fork
  }

  /** The subtree without the values that `matches`; with `along`, only nodes on the way to that key are visited. */
  #without(node: Node<T> | undefined, matches: (node: Node<T>) => boolean, along?: Int32Array): Node<T> | undefined {
    if (node === undefined || (along !== undefined && !node.covers(along))) return node
    if (node.value !== undefined && matches(node)) {
      node.value = undefined
      this.#size--
    }
    node.zero = this.#without(node.zero, matches, along)
    node.one = this.#without(node.one, matches, along)
    if (node.value !== undefined || (node.zero !== undefined && node.one !== undefined)) return node
    return node.zero ?? node.one
  }
}

/** A prefix. `value` is undefined at mere forks. */
class Node<T> {
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
  readonly length: number
  value: T | undefined
  zero: Node<T> | undefined = undefined
  one: Node<T> | undefined = undefined

  constructor(key: Int32Array, length: number, value: T | undefined) {
    this.length = length
    this.value = value
    this.w0 = key[0]! & mask(length)
    this.w1 = key[1]! & mask(length - 32)
    this.w2 = key[2]! & mask(length - 64)
    this.w3 = key[3]! & mask(length - 96)
  }

  /** Whether `key` lies under this prefix. */
  covers(key: Int32Array): boolean {
    const { length } = this
    return (
      ((key[0]! ^ this.w0) & mask(length)) === 0 &&
      (length <= 32 ||
        (((key[1]! ^ this.w1) & mask(length - 32)) === 0 &&
          ((key[2]! ^ this.w2) & mask(length - 64)) === 0 &&
          ((key[3]! ^ this.w3) & mask(length - 96)) === 0))
    )
  }

  words(): Int32Array {
    return Int32Array.of(this.w0, this.w1, this.w2, this.w3)
  }

  /** Bit `at`, counted from the most significant. */
  bit(at: number): number {
    const word = at < 32 ? this.w0 : at < 64 ? this.w1 : at < 96 ? this.w2 : this.w3
    return (word >>> (31 - (at & 31))) & 1
  }
}

/** The upper `bits` bits of a word: none for bits <= 0, all for bits >= 32. */
function mask(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits)
}

function bitOf(key: Int32Array, at: number): number {
  return (key[at >>> 5]! >>> (31 - (at & 31))) & 1
}

function commonBits(a: Node<unknown>, b: Node<unknown>): number {
  const first = Math.clz32(a.w0 ^ b.w0)
  if (first < 32) return first
  const second = Math.clz32(a.w1 ^ b.w1)
  if (second < 32) return 32 + second
  const third = Math.clz32(a.w2 ^ b.w2)
  return third < 32 ? 64 + third : 96 + Math.clz32(a.w3 ^ b.w3)
}

function loadWords(bytes: Uint8Array, at: number, width: number, key: Int32Array): void {
  key[0] = wordAt(bytes, at)
  if (width === 4) {
    key[1] = key[2] = key[3] = 0
    return
  }
  key[1] = wordAt(bytes, at + 4)
  key[2] = wordAt(bytes, at + 8)
  key[3] = wordAt(bytes, at + 12)
}

function prefixOf(cidr: string): { family: 'v4' | 'v6'; key: Int32Array; length: number } {
  const { address, prefix } = parseCidr(cidr.includes('/') ? cidr : `${cidr}/${cidr.includes(':') ? 128 : 32}`)
  const key = new Int32Array(4)
  loadWords(address, 0, address.length, key)
  return { family: address.length === 4 ? 'v4' : 'v6', key, length: prefix }
}
