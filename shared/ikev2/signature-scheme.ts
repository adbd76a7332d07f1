import type { RsaHash, RsaPadding } from '#shared/crypto/suite.ts'
import type { SigningKey } from '#shared/ikev2/signing-key.ts'
import { element, oid, sequence, smallInteger } from '#shared/pki/der-writer.ts'
import { algorithms } from '#shared/pki/oids.ts'
import { AuthMethod, HashAlgorithm } from '#shared/wire/ike-numbers.ts'

/** How one signature of an AUTH payload is made: the payload's method and, under method 14, the AlgorithmIdentifier before it. */
export type SignatureScheme =
  | { readonly method: typeof AuthMethod.DigitalSignature; readonly algorithm: Uint8Array; readonly how: Signing }
  | { readonly method: 1 | 9 | 10; readonly how: Signing }

/** `raw`: r and s at full length (RFC 4754), in place of DER. */
export type Signing =
  | { readonly kind: 'p256' | 'p384'; readonly raw: boolean }
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'rsa'; readonly padding: RsaPadding; readonly hash: RsaHash }

/**
 * What we say in SIGNATURE_HASH_ALGORITHMS (RFC 7427 §4): SHA-2 of every size, and Identity for Ed25519 (RFC 8420 §2). SHA-1 is not
 * among them (RFC 8247 §3.2.1).
 */
export const acceptedHashes: readonly number[] = [
  HashAlgorithm.Sha256,
  HashAlgorithm.Sha384,
  HashAlgorithm.Sha512,
  HashAlgorithm.Identity,
]

/** The notification's data: two bytes a hash. */
export function encodeHashAlgorithms(hashes: readonly number[]): Uint8Array {
  return Uint8Array.from(hashes.flatMap((hash) => [hash >> 8, hash & 0xff]))
}

/** Any data: an odd last byte is left out, for nothing can be made of it. */
export function decodeHashAlgorithms(data: Uint8Array): number[] {
  const hashes: number[] = []
  for (let at = 0; at + 1 < data.length; at += 2) hashes.push((data[at]! << 8) | data[at + 1]!)
  return hashes
}

const ecdsaSha256 = sequence(oid(algorithms.ecdsaSha256))
const ecdsaSha384 = sequence(oid(algorithms.ecdsaSha384))
const ed25519 = sequence(oid(algorithms.ed25519))
const absent = element(0x05)

const rsa: Readonly<Record<RsaHash, { hash: number; oid: string; pkcs1: string; salt: number }>> = {
  sha256: { hash: HashAlgorithm.Sha256, oid: algorithms.sha256, pkcs1: algorithms.rsaSha256, salt: 32 },
  sha384: { hash: HashAlgorithm.Sha384, oid: algorithms.sha384, pkcs1: algorithms.rsaSha384, salt: 48 },
  sha512: { hash: HashAlgorithm.Sha512, oid: algorithms.sha512, pkcs1: algorithms.rsaSha512, salt: 64 },
}

/** AlgorithmIdentifier DER (RFC 7427 appendix A): PSS with MGF1 of the same hash and a salt of its length. */
export function rsaAlgorithm(padding: RsaPadding, hash: RsaHash): Uint8Array {
  const { oid: hashOid, pkcs1, salt } = rsa[hash]
  if (padding === 'pkcs1') return sequence(oid(pkcs1), absent)
  const digest = sequence(oid(hashOid), absent)
  const mask = sequence(oid(algorithms.mgf1), digest)
  const parameters = sequence(element(0xa0, digest), element(0xa1, mask), element(0xa2, smallInteger(salt)))
  return sequence(oid(algorithms.rsaPss), parameters)
}

/**
 * The scheme for our key towards a peer that accepts `hashes`; undefined hashes: it said nothing (RFC 7427 is unknown to it). Method 14
 * goes first. The old methods are left for a peer that shares no hash with us: 9 and 10 name their hash themselves; method 1 names none,
 * and we take SHA-256, since SHA-1, its custom, must not be used (RFC 8247 §3.1). Undefined: no signature of ours can be understood.
 */
export function chooseScheme(
  key: SigningKey,
  hashes: readonly number[] | undefined,
  padding: RsaPadding,
): SignatureScheme | undefined {
  const takes = (hash: number): boolean => hashes?.includes(hash) === true
  const method = AuthMethod.DigitalSignature
  switch (key.kind) {
    case 'p256':
      if (takes(HashAlgorithm.Sha256)) return { method, algorithm: ecdsaSha256, how: { kind: 'p256', raw: false } }
      return { method: AuthMethod.EcdsaSha256P256, how: { kind: 'p256', raw: true } }
    case 'p384':
      if (takes(HashAlgorithm.Sha384)) return { method, algorithm: ecdsaSha384, how: { kind: 'p384', raw: false } }
      return { method: AuthMethod.EcdsaSha384P384, how: { kind: 'p384', raw: true } }
    case 'ed25519':
      return takes(HashAlgorithm.Identity) ? { method, algorithm: ed25519, how: { kind: 'ed25519' } } : undefined
    case 'rsa': {
      const hash = (['sha256', 'sha384', 'sha512'] as const).find((one) => takes(rsa[one].hash))
      if (hash !== undefined) return { method, algorithm: rsaAlgorithm(padding, hash), how: { kind: 'rsa', padding, hash } }
      return { method: AuthMethod.RsaSignature, how: { kind: 'rsa', padding: 'pkcs1', hash: 'sha256' } }
    }
  }
}
