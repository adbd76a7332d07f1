/**
 * BLAKE2s-256 (RFC 7693), plain and keyed, for the many short inputs of a WireGuard handshake: OpenSSL in Node offers no keyed form,
 * its one-shot hash costs a call into C++ each time, and noble's compression allocates. Here fifty nanoseconds
 * count: a handshake is a hundred compressions.
 */
import { CryptoError } from '../suite.ts'
import { IV, plainCompression } from './blake2s-plain.ts'
import { simdCompression } from './blake2s-simd.ts'

/** Bytes. */
const BLOCK = 64
const FULL_LENGTH = 32

/** What HMAC's key is mixed with (RFC 2104 §2), four bytes of it. */
const INNER_PAD = 0x3636_3636
const OUTER_PAD = 0x5c5c_5c5c

let { h, block, words, compress, digest, hmac } = plainCompression()
/** Bytes of `block` that are the message's, and of the message before them. The rest of `block` is zero. */
let filled = 0
let total = 0

/**
 * From now on vectors are used, where this machine has them: for who answers thousands of handshakes. Making them ready costs some 20 ms and
 * 2 to 5 MiB, which a device that shakes hands every two minutes does better without.
 */
export function compressOnVectors(): void {
  const vectors = simdCompression()
  if (vectors !== undefined) ({ h, block, words, compress, digest, hmac } = vectors)
}

export function blake2s(length: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  if (!Number.isInteger(length) || length < 1 || length > FULL_LENGTH)
    throw new CryptoError('length', 'BLAKE2s gives 1 to 32 bytes')
  if (key.length > FULL_LENGTH) throw new CryptoError('length', `a key of BLAKE2s has at most 32 bytes, not ${key.length}`)
  begin(length, key.length)
  if (key.length > 0) {
    absorb(key)
    filled = BLOCK
  }
  for (const part of parts) absorb(part)
  finish()
  return takeOut(length)
}

/** HMAC-BLAKE2s (RFC 2104 over the unkeyed hash), as WireGuard's and Noise's HKDF use it. */
export function hmacBlake2s(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  if (hmac !== undefined && key.length <= BLOCK && fitIn(BLOCK, parts)) return hmac(key, parts)
  const secret = key.length > BLOCK ? blake2s(FULL_LENGTH, nothing, key) : key
  beginPadded(secret, INNER_PAD)
  for (const part of parts) absorb(part)
  finish()
  const inner = takeOut(FULL_LENGTH)
  beginPadded(secret, OUTER_PAD)
  absorb(inner)
  inner.fill(0)
  finish()
  return takeOut(FULL_LENGTH)
}

const nothing = new Uint8Array(0)

/** Of an empty message the key's block is the last one, which the one call does not know of. */
function fitIn(room: number, parts: readonly Uint8Array[]): boolean {
  let length = 0
  for (const part of parts) length += part.length
  return length > 0 && length <= room
}

function begin(length: number, keyLength: number): void {
  for (let i = 0; i < 8; i++) h[i] = IV[i]!
  h[0]! ^= 0x0101_0000 ^ (keyLength << 8) ^ length
  filled = 0
  total = 0
}

/** A whole hash whose first block is a pad of HMAC's. */
function beginPadded(secret: Uint8Array, pad: number): void {
  begin(FULL_LENGTH, 0)
  absorb(secret)
  for (let i = 0; i < words.length; i++) words[i]! ^= pad
  filled = BLOCK
}

function absorb(part: Uint8Array): void {
  for (let at = 0; at < part.length; ) {
    if (filled === BLOCK) next()
    const count = Math.min(BLOCK - filled, part.length - at)
    block.set(count === part.length ? part : part.subarray(at, at + count), filled)
    filled += count
    at += count
  }
}

/** The block is full, and not the last one. */
function next(): void {
  total += BLOCK
  compress(total, false)
  clear(words)
  filled = 0
}

/** The digest stands in `h` afterwards; nothing of the message stays behind. */
function finish(): void {
  compress(total + filled, true)
  clear(words)
}

/** Fresh; nothing of it stays behind. */
function takeOut(length: number): Uint8Array {
  const out = digest(length)
  clear(h)
  return out
}

function clear(of: Int32Array): void {
  for (let i = 0; i < of.length; i++) of[i] = 0
}
