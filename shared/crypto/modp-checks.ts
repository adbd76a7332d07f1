import { isAllZero } from '#shared/bytes/equal.ts'
import { CryptoError } from './suite.ts'

/**
 * Checks a peer's public value before it is used (RFC 6989 §2.1; RFC 7296 §3.4 for the length): 0, 1 and p-1 make a secret that
 * anybody knows, and nothing from p on is in the group. Safe primes need no more.
 */
export function checkModpPublic(publicKey: Uint8Array, prime: Uint8Array): void {
  if (publicKey.length !== prime.length)
    throw new CryptoError('length', `a public value of this group has ${prime.length} bytes, not ${publicKey.length}`)
  const last = prime.length - 1
  let difference = 0 // where the value first differs from the prime
  while (difference < last && publicKey[difference] === prime[difference]) difference++
  const [ours, theirs] = [publicKey[difference] as number, prime[difference] as number]
  if (difference === last && ours === theirs - 1) throw new CryptoError('low-order', 'the public value is p-1')
  if (ours >= theirs) throw new CryptoError('off-curve', 'the public value is not below the prime')
  if (isAllZero(publicKey.subarray(0, last)) && (publicKey[last] as number) <= 1)
    throw new CryptoError('low-order', 'the public value is 0 or 1')
}

/** A private exponent is any number but 0, as long as the prime at most. */
export function checkModpPrivate(privateKey: Uint8Array, size: number): void {
  if (privateKey.length === 0 || privateKey.length > size)
    throw new CryptoError('length', `a private exponent of this group has 1 to ${size} bytes, not ${privateKey.length}`)
  if (isAllZero(privateKey)) throw new CryptoError('key', 'the private exponent cannot be used')
}
