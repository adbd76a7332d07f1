/**
 * The one port through which cryptography comes (DESIGN D10). Providers: `native` (node:crypto), `noble`; both pass the same
 * vectors. Buffers are borrowed for the call only; results are fresh. Sizes in bytes. A CryptoError means that the input is
 * unusable (wrong size, low-order point, off-curve); a failed authentication is a return value, never an exception.
 */
export interface Suite {
  readonly name: 'native' | 'noble'

  /** `length` random bytes. Providers alone may draw randomness. */
  random(length: number): Uint8Array

  readonly x25519: DiffieHellman
  readonly ecdhP256: DiffieHellman
  readonly ecdhP384: DiffieHellman
  readonly ed25519: Signer
  /** ECDSA with SHA-256; signatures in DER unless `ecdsaP256Raw` (IEEE P1363, 64 bytes) is meant. */
  readonly ecdsaP256: Signer
  readonly ecdsaP256Raw: Signer
  /** ECDSA with SHA-384, DER. */
  readonly ecdsaP384: Signer

  readonly chacha20poly1305: AeadAlgorithm
  readonly xchacha20poly1305: AeadAlgorithm
  readonly aesGcm: AeadAlgorithm

  hash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array
  /** Keyed BLAKE2 (RFC 7693): key 0..32 (s) or 0..64 (b), output `length`. */
  blake2s(length: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  blake2b(length: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  hmac(name: HashName, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  /** RFC 5869. */
  hkdf(name: HashName, secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array
}

export type HashName = 'sha256' | 'sha384' | 'sha512' | 'sha1' | 'blake2s' | 'blake2b'

export interface KeyPair {
  readonly publicKey: Uint8Array
  /** Secret. Zeroised by `wipe` when its owner is done. */
  readonly privateKey: Uint8Array
}

/** Public keys: X25519 32 bytes; P-256 and P-384 uncompressed points (65, 97). Private: 32, 32, 48. */
export interface DiffieHellman {
  readonly publicKeyLength: number
  readonly sharedLength: number
  generate(): KeyPair
  /** The pair of a given private key. */
  pair(privateKey: Uint8Array): KeyPair
  /** Throws CryptoError `low-order` where the shared secret would be all zero, `off-curve`, or `length`. */
  shared(pair: KeyPair, publicKey: Uint8Array): Uint8Array
}

/** Keys: Ed25519 32/32; P-256 private 32, public 65 uncompressed; P-384 48, 97. */
export interface Signer {
  generate(): KeyPair
  pair(privateKey: Uint8Array): KeyPair
  sign(pair: KeyPair, message: Uint8Array): Uint8Array
  /** Never throws on a stranger's bytes. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
}

export interface AeadAlgorithm {
  readonly keyLengths: readonly number[]
  readonly nonceLength: number
  readonly tagLength: 16
  /** A key made ready once, used for many packets. */
  key(key: Uint8Array): Aead
}

/** One AEAD key. The caller owns `out`; `out` may be the same memory as `input` only if both start at the same byte. */
export interface Aead {
  /** Writes ciphertext and 16-byte tag at `out[0..]`; returns input.length + 16. */
  seal(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number
  /** Writes the plaintext at `out[0..]`; returns its length, or -1 where authentication fails (then `out` is undefined). */
  open(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number
  /** Forgets the key as far as the provider can. */
  wipe(): void
}

export class CryptoError extends Error {
  override readonly name = 'CryptoError'
  readonly code: 'low-order' | 'off-curve' | 'length' | 'key'
  constructor(code: CryptoError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** Overwrites secrets in place. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0)
}
