import type { HashName } from './suite.ts'

/** Digest sizes, bytes. */
export const hashLengths: Readonly<Record<HashName, number>> = {
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  blake2s: 32,
  blake2b: 64,
}

/** Block sizes, bytes: HMAC pads its key to this (RFC 2104 §2). */
export const blockLengths: Readonly<Record<HashName, number>> = {
  sha1: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
  blake2s: 64,
  blake2b: 128,
}

/** HKDF gives at most 255 blocks (RFC 5869 §2.3). */
export const maxHkdfBlocks = 255
