/**
 * The one port through which cryptography comes (DESIGN D10). Providers: `native` (node:crypto), `noble`; all pass the same
 * vectors. Buffers are borrowed for the call only; results are fresh. Sizes in bytes. A CryptoError means that the input is
 * unusable (wrong size, low-order point, off-curve); a failed authentication is a return value, never an exception.
 */
export interface Suite {
  readonly name: 'native' | 'noble' | 'openssl-ffi'

  /** `length` random bytes. Providers alone may draw randomness. */
  random(length: number): Uint8Array

  readonly x25519: DiffieHellman
  readonly ecdhP256: DiffieHellman
  readonly ecdhP384: DiffieHellman
  readonly ecdhP521: DiffieHellman
  /** The safe-prime groups of RFC 3526. */
  modp(group: ModpGroup): DiffieHellman
  readonly ed25519: Signer
  /** ECDSA with SHA-256; signatures in DER unless `ecdsaP256Raw` (IEEE P1363, 64 bytes) is meant. */
  readonly ecdsaP256: Signer
  readonly ecdsaP256Raw: Signer
  /** ECDSA with SHA-384, DER. */
  readonly ecdsaP384: Signer
  readonly rsa: RsaSigner

  readonly chacha20poly1305: AeadAlgorithm
  readonly xchacha20poly1305: AeadAlgorithm
  readonly aesGcm: AeadAlgorithm
  readonly aesCbc: BlockCipherAlgorithm

  hash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array
  /** Keyed BLAKE2 (RFC 7693): key 0..32 (s) or 0..64 (b), output `length`. */
  blake2s(length: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  blake2b(length: number, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  hmac(name: HashName, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  /** An HMAC key made ready once, used for many messages. */
  hmacKey(name: HashName, key: Uint8Array): MacKey
  /** RFC 5869. */
  hkdf(name: HashName, secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array
}

export type HashName = 'sha256' | 'sha384' | 'sha512' | 'sha1' | 'blake2s' | 'blake2b'

export interface KeyPair {
  readonly publicKey: Uint8Array
  /** Secret. Zeroised by `wipe` when its owner is done. */
  readonly privateKey: Uint8Array
}

/** By the numbers of the IKE registry: 2048, 3072 and 4096 bits. */
export type ModpGroup = 14 | 15 | 16

/**
 * Public keys: X25519 32 bytes; P-256, P-384 and P-521 uncompressed points (65, 97, 133); MODP big-endian, as long as the prime (256,
 * 384, 512). Private: 32; 32, 48, 66; MODP any number of bytes up to the prime's. The shared secret of MODP keeps its leading zeros.
 */
export interface DiffieHellman {
  readonly publicKeyLength: number
  readonly sharedLength: number
  generate(): KeyPair
  /** The pair of a given private key. */
  pair(privateKey: Uint8Array): KeyPair
  /**
   * Throws CryptoError `low-order` where the secret would be known to anybody (X25519: all zero; MODP: 0, 1 or p-1, RFC 6989 §2.1),
   * `off-curve` where the public key is no element of the group, or `length`.
   */
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

/**
 * RSA signatures (RFC 8017): RSASSA-PKCS1-v1_5, and RSASSA-PSS with MGF1 of the same hash and a salt of the hash's length. What sizes
 * of key are good enough is for the caller to say.
 */
export interface RsaSigner {
  /** Throws CryptoError `key` where the numbers make no key. */
  sign(key: RsaPrivateKey, padding: RsaPadding, hash: RsaHash, message: Uint8Array): Uint8Array
  /** Never throws on a stranger's bytes. */
  verify(key: RsaPublicKey, padding: RsaPadding, hash: RsaHash, message: Uint8Array, signature: Uint8Array): boolean
}

export type RsaPadding = 'pkcs1' | 'pss'
export type RsaHash = 'sha256' | 'sha384' | 'sha512'

/** Numbers big-endian, without leading zeros. A provider keeps its own form of a key for as long as the object lives. */
export interface RsaPublicKey {
  readonly modulus: Uint8Array
  readonly exponent: Uint8Array
}

/** Secret but for the public half: two primes and what the Chinese remainder theorem needs (RFC 8017 §3.2). */
export interface RsaPrivateKey extends RsaPublicKey {
  readonly privateExponent: Uint8Array
  readonly prime1: Uint8Array
  readonly prime2: Uint8Array
  readonly exponent1: Uint8Array
  readonly exponent2: Uint8Array
  readonly coefficient: Uint8Array
}

/** One HMAC key. */
export interface MacKey {
  /** Bytes of a whole tag. */
  readonly length: number
  mac(...parts: readonly Uint8Array[]): Uint8Array
  /** Forgets the key as far as the provider can. */
  wipe(): void
}

/** AES in cipher block chaining, without padding and without integrity: for protocols that bring their own (RFC 3602). */
export interface BlockCipherAlgorithm {
  readonly keyLengths: readonly number[]
  readonly blockLength: 16
  key(key: Uint8Array): BlockCipher
}

/**
 * One key. `iv` has 16 bytes, `input` whole blocks (else CryptoError `length`); the result is written at `out[0..]`, its length
 * returned. `out` may be the same memory as `input` only if both start at the same byte.
 */
export interface BlockCipher {
  encrypt(iv: Uint8Array, input: Uint8Array, out: Uint8Array): number
  decrypt(iv: Uint8Array, input: Uint8Array, out: Uint8Array): number
  wipe(): void
}

export interface AeadAlgorithm {
  readonly keyLengths: readonly number[]
  readonly nonceLength: number
  readonly tagLength: 16
  /** A key made ready once, used for many packets. */
  key(key: Uint8Array): Aead
  /** `Aead.seal` with a key for this message alone: nothing is kept for it. */
  sealOnce(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number
  /** `Aead.open` likewise. */
  openOnce(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number
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
