import type { Suite } from '#shared/crypto/suite.ts'
import { kdf1, kdf2, kdf3 } from './kdf.ts'

const ZERO_NONCE = new Uint8Array(12)
const EMPTY = new Uint8Array(0)

/**
 * Chaining key and hash of one handshake (white paper §5.4; Noise §5.2 calls it the SymmetricState). Every key is used for one
 * message with nonce 0 and the running hash as associated data.
 */
export class Transcript {
  readonly #suite: Suite
  #chainingKey: Uint8Array
  #hash: Uint8Array

  constructor(suite: Suite, chainingKey: Uint8Array, hash: Uint8Array) {
    this.#suite = suite
    this.#chainingKey = chainingKey.slice()
    this.#hash = hash
  }

  /** For known answers: both are secret-dependent. */
  get chainingKey(): Uint8Array {
    return this.#chainingKey
  }

  get hash(): Uint8Array {
    return this.#hash
  }

  /** The same state once more: whoever reads a message that may be forged reads it on a copy. */
  copy(): Transcript {
    return new Transcript(this.#suite, this.#chainingKey, this.#hash)
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#suite.hash('blake2s', this.#hash, data)
  }

  /** C := KDF1(C, input). */
  mixKey(input: Uint8Array): void {
    this.#become(kdf1(this.#suite, this.#chainingKey, input))
  }

  /** (C, key) := KDF2(C, input). */
  deriveKey(input: Uint8Array): Uint8Array {
    const [chainingKey, key] = kdf2(this.#suite, this.#chainingKey, input)
    this.#become(chainingKey)
    return key
  }

  /** (C, t, key) := KDF3(C, psk); H := HASH(H, t). */
  derivePskKey(psk: Uint8Array): Uint8Array {
    const [chainingKey, temporary, key] = kdf3(this.#suite, this.#chainingKey, psk)
    this.#become(chainingKey)
    this.mixHash(temporary)
    temporary.fill(0)
    return key
  }

  /** Seals into `out` (length + 16 bytes), mixes the ciphertext into the hash and wipes the key. */
  seal(key: Uint8Array, plaintext: Uint8Array, out: Uint8Array): void {
    const aead = this.#suite.chacha20poly1305.key(key)
    aead.seal(ZERO_NONCE, this.#hash, plaintext, out)
    aead.wipe()
    key.fill(0)
    this.mixHash(out)
  }

  /** The plaintext, or undefined where it is not authentic. Mixes the ciphertext into the hash and wipes the key. */
  open(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const out = new Uint8Array(sealed.length - 16)
    const aead = this.#suite.chacha20poly1305.key(key)
    const length = aead.open(ZERO_NONCE, this.#hash, sealed, out)
    aead.wipe()
    key.fill(0)
    if (length < 0) return undefined
    this.mixHash(sealed)
    return out
  }

  /** The session's keys: the initiator's sending key, then the responder's. */
  split(): [initiatorSends: Uint8Array, responderSends: Uint8Array] {
    return kdf2(this.#suite, this.#chainingKey, EMPTY)
  }

  wipe(): void {
    this.#chainingKey.fill(0)
    this.#hash.fill(0)
  }

  #become(chainingKey: Uint8Array): void {
    this.#chainingKey.fill(0)
    this.#chainingKey = chainingKey
  }
}
