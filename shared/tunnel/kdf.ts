import type { Suite } from '#shared/crypto/suite.ts'

/** Counter bytes of HKDF-Expand (RFC 5869 §2.3). */
const ONE = Uint8Array.of(1)
const TWO = Uint8Array.of(2)
const THREE = Uint8Array.of(3)

/** KDF1..3 of the white paper §5.4: HKDF with HMAC-BLAKE2s, `key` as salt, 32-byte outputs. Results are fresh and secret. */
export function kdf1(suite: Suite, key: Uint8Array, input: Uint8Array): Uint8Array {
  const extracted = suite.hmac('blake2s', key, input)
  const first = suite.hmac('blake2s', extracted, ONE)
  extracted.fill(0)
  return first
}

export function kdf2(suite: Suite, key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const extracted = suite.hmac('blake2s', key, input)
  const first = suite.hmac('blake2s', extracted, ONE)
  const second = suite.hmac('blake2s', extracted, first, TWO)
  extracted.fill(0)
  return [first, second]
}

export function kdf3(suite: Suite, key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const extracted = suite.hmac('blake2s', key, input)
  const first = suite.hmac('blake2s', extracted, ONE)
  const second = suite.hmac('blake2s', extracted, first, TWO)
  const third = suite.hmac('blake2s', extracted, second, THREE)
  extracted.fill(0)
  return [first, second, third]
}
