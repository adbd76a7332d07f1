/**
 * BLAKE2s's compression function (RFC 7693 §3.2), written out over local variables: for processors or programs without vectors in
 * WebAssembly, and the plain twin of blake2s-simd.ts.
 */

/** The state and the block of the one hash that is under way: everything here is synchronous. */
export interface Compression {
  /** The chained state, eight words. */
  readonly h: Int32Array
  /** The block that comes next, 64 bytes. */
  readonly block: Uint8Array
  /** The same memory as sixteen words, in this machine's order of bytes. */
  readonly words: Int32Array
  /** `total` bytes so far, this block included; inputs of 2^32 bytes and more never come here. */
  compress(total: number, last: boolean): void
  /** The first `length` bytes of the state, fresh. */
  digest(length: number): Uint8Array
  /** HMAC of 64 bytes at most with a key of 64 bytes at most, in one call: fresh, and nothing stays behind. Undefined: piece by piece. */
  readonly hmac: ((key: Uint8Array, parts: readonly Uint8Array[]) => Uint8Array) | undefined
}

/** RFC 7693 §2.6: the fractional parts of the square roots of the first eight primes. */
export const IV = Int32Array.of(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19)

/** RFC 7693 §2.7: the message schedule, ten rounds of sixteen. */
// biome-ignore format: one round a line
export const S = Uint8Array.of(
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3,
  11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4,
  7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8,
  9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13,
  2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9,
  12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11,
  13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10,
  6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5,
  10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0,
)

const m = new Int32Array(16)

export function plainCompression(): Compression {
  const h = new Int32Array(8)
  const words = new Int32Array(16)
  const block = new Uint8Array(words.buffer)
  const digest = (length: number): Uint8Array => {
    const out = new Uint8Array(length)
    for (let at = 0; at < length; at++) out[at] = h[at >> 2]! >>> ((at & 3) * 8)
    return out
  }
  return { h, block, words, compress: (total, last) => compress(h, block, total, last), digest, hmac: undefined }
}

function compress(h: Int32Array, block: Uint8Array, total: number, last: boolean): void {
  for (let i = 0, at = 0; i < 16; i++, at += 4) {
    m[i] = block[at]! | (block[at + 1]! << 8) | (block[at + 2]! << 16) | (block[at + 3]! << 24)
  }
  let v0 = h[0]!,
    v1 = h[1]!,
    v2 = h[2]!,
    v3 = h[3]!,
    v4 = h[4]!,
    v5 = h[5]!,
    v6 = h[6]!,
    v7 = h[7]!
  let v8 = IV[0]!,
    v9 = IV[1]!,
    v10 = IV[2]!,
    v11 = IV[3]!
  let v12 = IV[4]! ^ total,
    v13 = IV[5]!,
    v14 = last ? ~IV[6]! : IV[6]!,
    v15 = IV[7]!
  for (let r = 0; r < 160; r += 16) {
    v0 = (v0 + v4 + m[S[r + 0]!]!) | 0
    v12 ^= v0
    v12 = (v12 >>> 16) | (v12 << 16)
    v8 = (v8 + v12) | 0
    v4 ^= v8
    v4 = (v4 >>> 12) | (v4 << 20)
    v0 = (v0 + v4 + m[S[r + 1]!]!) | 0
    v12 ^= v0
    v12 = (v12 >>> 8) | (v12 << 24)
    v8 = (v8 + v12) | 0
    v4 ^= v8
    v4 = (v4 >>> 7) | (v4 << 25)
    v1 = (v1 + v5 + m[S[r + 2]!]!) | 0
    v13 ^= v1
    v13 = (v13 >>> 16) | (v13 << 16)
    v9 = (v9 + v13) | 0
    v5 ^= v9
    v5 = (v5 >>> 12) | (v5 << 20)
    v1 = (v1 + v5 + m[S[r + 3]!]!) | 0
    v13 ^= v1
    v13 = (v13 >>> 8) | (v13 << 24)
    v9 = (v9 + v13) | 0
    v5 ^= v9
    v5 = (v5 >>> 7) | (v5 << 25)
    v2 = (v2 + v6 + m[S[r + 4]!]!) | 0
    v14 ^= v2
    v14 = (v14 >>> 16) | (v14 << 16)
    v10 = (v10 + v14) | 0
    v6 ^= v10
    v6 = (v6 >>> 12) | (v6 << 20)
    v2 = (v2 + v6 + m[S[r + 5]!]!) | 0
    v14 ^= v2
    v14 = (v14 >>> 8) | (v14 << 24)
    v10 = (v10 + v14) | 0
    v6 ^= v10
    v6 = (v6 >>> 7) | (v6 << 25)
    v3 = (v3 + v7 + m[S[r + 6]!]!) | 0
    v15 ^= v3
    v15 = (v15 >>> 16) | (v15 << 16)
    v11 = (v11 + v15) | 0
    v7 ^= v11
    v7 = (v7 >>> 12) | (v7 << 20)
    v3 = (v3 + v7 + m[S[r + 7]!]!) | 0
    v15 ^= v3
    v15 = (v15 >>> 8) | (v15 << 24)
    v11 = (v11 + v15) | 0
    v7 ^= v11
    v7 = (v7 >>> 7) | (v7 << 25)
    v0 = (v0 + v5 + m[S[r + 8]!]!) | 0
    v15 ^= v0
    v15 = (v15 >>> 16) | (v15 << 16)
    v10 = (v10 + v15) | 0
    v5 ^= v10
    v5 = (v5 >>> 12) | (v5 << 20)
    v0 = (v0 + v5 + m[S[r + 9]!]!) | 0
    v15 ^= v0
    v15 = (v15 >>> 8) | (v15 << 24)
    v10 = (v10 + v15) | 0
    v5 ^= v10
    v5 = (v5 >>> 7) | (v5 << 25)
    v1 = (v1 + v6 + m[S[r + 10]!]!) | 0
    v12 ^= v1
    v12 = (v12 >>> 16) | (v12 << 16)
    v11 = (v11 + v12) | 0
    v6 ^= v11
    v6 = (v6 >>> 12) | (v6 << 20)
    v1 = (v1 + v6 + m[S[r + 11]!]!) | 0
    v12 ^= v1
    v12 = (v12 >>> 8) | (v12 << 24)
    v11 = (v11 + v12) | 0
    v6 ^= v11
    v6 = (v6 >>> 7) | (v6 << 25)
    v2 = (v2 + v7 + m[S[r + 12]!]!) | 0
    v13 ^= v2
    v13 = (v13 >>> 16) | (v13 << 16)
    v8 = (v8 + v13) | 0
    v7 ^= v8
    v7 = (v7 >>> 12) | (v7 << 20)
    v2 = (v2 + v7 + m[S[r + 13]!]!) | 0
    v13 ^= v2
    v13 = (v13 >>> 8) | (v13 << 24)
    v8 = (v8 + v13) | 0
    v7 ^= v8
    v7 = (v7 >>> 7) | (v7 << 25)
    v3 = (v3 + v4 + m[S[r + 14]!]!) | 0
    v14 ^= v3
    v14 = (v14 >>> 16) | (v14 << 16)
    v9 = (v9 + v14) | 0
    v4 ^= v9
    v4 = (v4 >>> 12) | (v4 << 20)
    v3 = (v3 + v4 + m[S[r + 15]!]!) | 0
    v14 ^= v3
    v14 = (v14 >>> 8) | (v14 << 24)
    v9 = (v9 + v14) | 0
    v4 ^= v9
    v4 = (v4 >>> 7) | (v4 << 25)
  }
  h[0]! ^= v0 ^ v8
  h[1]! ^= v1 ^ v9
  h[2]! ^= v2 ^ v10
  h[3]! ^= v3 ^ v11
  h[4]! ^= v4 ^ v12
  h[5]! ^= v5 ^ v13
  h[6]! ^= v6 ^ v14
  h[7]! ^= v7 ^ v15
  for (let i = 0; i < 16; i++) m[i] = 0
}
