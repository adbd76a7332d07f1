import { blake2b as nobleBlake2b, blake2s as nobleBlake2s } from '@noble/hashes/blake2.js'
import { hkdf as nobleHkdf } from '@noble/hashes/hkdf.js'
import { hmac as nobleHmac } from '@noble/hashes/hmac.js'
import { sha1 } from '@noble/hashes/legacy.js'
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js'
import { hashLengths, maxHkdfBlocks } from '../hash-sizes.ts'
import { CryptoError, type HashName, type MacKey } from '../suite.ts'

const hashes = { sha1, sha256, sha384, sha512, blake2s: nobleBlake2s, blake2b: nobleBlake2b } as const

export function hash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = hashes[name].create()
  for (const part of parts) state.update(part)
  return state.digest()
}

/** BLAKE2s (RFC 7693): key 0..32 bytes, output 1..32. */
export function blake2s(length: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  checkSizes('BLAKE2s', length, key, 32)
  const state = nobleBlake2s.create(key.length > 0 ? { dkLen: length, key } : { dkLen: length })
  for (const part of parts) state.update(part)
  return state.digest()
}

/** BLAKE2b (RFC 7693): key 0..64 bytes, output 1..64. */
export function blake2b(length: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  checkSizes('BLAKE2b', length, key, 64)
  const state = nobleBlake2b.create(key.length > 0 ? { dkLen: length, key } : { dkLen: length })
  for (const part of parts) state.update(part)
  return state.digest()
}

export function hmac(name: HashName, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = nobleHmac.create(hashes[name], key)
  for (const part of parts) state.update(part)
  return state.digest()
}

export function hmacKey(name: HashName, key: Uint8Array): MacKey {
  const ready = nobleHmac.create(hashes[name], key)
  let wiped = false
  return {
    length: hashLengths[name],
    mac(...parts) {
      if (wiped) throw new CryptoError('key', 'this key has been wiped')
      const state = ready.clone()
      for (const part of parts) state.update(part)
      return state.digest()
    },
    wipe() {
      ready.destroy()
      wiped = true
    },
  }
}

/** RFC 5869 §2. Throws CryptoError `length` above 255 digests. */
export function hkdf(name: HashName, secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const most = maxHkdfBlocks * hashLengths[name]
  if (length > most) throw new CryptoError('length', `HKDF-${name} gives at most ${most} bytes`)
  if (length === 0) return new Uint8Array(0)
  return nobleHkdf(hashes[name], secret, salt, info, length)
}

function checkSizes(title: string, length: number, key: Uint8Array, most: number): void {
  if (!Number.isInteger(length) || length < 1 || length > most)
    throw new CryptoError('length', `${title} gives 1 to ${most} bytes`)
  if (key.length > most) throw new CryptoError('length', `a key of ${title} has at most ${most} bytes, not ${key.length}`)
}
