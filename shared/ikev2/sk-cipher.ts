import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Aead, BlockCipher, MacKey, Suite } from '#shared/crypto/suite.ts'
import type { IkeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import type { EncryptionDescriptor, IntegrityDescriptor } from '#shared/ikev2/transform.ts'
import { Encryption } from '#shared/wire/ike-numbers.ts'

/**
 * One direction of an IKE SA's protection, on whole messages (RFC 7296 §3.14, RFC 5282):
 *
 *   header … SK header | IV | payloads, padding, pad length (encrypted) | ICV
 *
 * The ICV covers everything before it: as associated data and ciphertext of a combined mode, or by an HMAC.
 */
export interface SkCipher {
  /** Bytes; `alignBytes`: the encrypted part is a multiple of this. */
  readonly ivBytes: number
  readonly icvBytes: number
  readonly alignBytes: number
  /** Fills in IV and ICV and encrypts, in place. `body`: where the IV begins. */
  seal(message: Uint8Array, body: number): void
  /** The encrypted part in the clear, in fresh memory; undefined where it is not authentic. */
  open(message: Uint8Array, body: number): Uint8Array | undefined
  wipe(): void
}

/** `encryption` with its salt last, `integrity` empty with a combined mode. They stay their owner's. */
export function skCipher(suite: Suite, algorithms: IkeAlgorithms, encryption: Uint8Array, integrity: Uint8Array): SkCipher {
  if (algorithms.integrity === undefined) return new AeadSkCipher(suite, algorithms.encryption, encryption)
  return new CbcSkCipher(suite, algorithms.integrity, encryption, integrity)
}

const IV_LENGTH = 8

/** The nonce is the salt and a counter that lives in this object alone: it cannot repeat under one key (RFC 5282 §3.1). */
class AeadSkCipher implements SkCipher {
  readonly ivBytes = IV_LENGTH
  readonly icvBytes: number
  readonly alignBytes = 1
  readonly #aead: Aead
  readonly #nonce: Uint8Array
  readonly #saltBytes: number
  #sent = 0n

  constructor(suite: Suite, descriptor: EncryptionDescriptor, key: Uint8Array) {
    const algorithm = descriptor.id === Encryption.ChaCha20Poly1305 ? suite.chacha20poly1305 : suite.aesGcm
    this.icvBytes = descriptor.icvBytes
    this.#saltBytes = descriptor.saltBytes
    this.#aead = algorithm.key(key.subarray(0, descriptor.keyBytes))
    this.#nonce = new Uint8Array(algorithm.nonceLength)
    this.#nonce.set(key.subarray(descriptor.keyBytes))
  }

  seal(message: Uint8Array, body: number): void {
    const start = body + IV_LENGTH
    new DataView(message.buffer, message.byteOffset + body).setBigUint64(0, this.#sent++)
    this.#nonce.set(message.subarray(body, start), this.#saltBytes)
    const content = message.subarray(start)
    this.#aead.seal(this.#nonce, message.subarray(0, body), content.subarray(0, content.length - this.icvBytes), content)
  }

  open(message: Uint8Array, body: number): Uint8Array | undefined {
    const start = body + IV_LENGTH
    const length = message.length - start - this.icvBytes
    if (length < 0) return undefined
    this.#nonce.set(message.subarray(body, start), this.#saltBytes)
    const plain = new Uint8Array(length)
    return this.#aead.open(this.#nonce, message.subarray(0, body), message.subarray(start), plain) < 0 ? undefined : plain
  }

  wipe(): void {
    this.#aead.wipe()
    this.#nonce.fill(0)
  }
}

const BLOCK = 16

/** Encrypt, then MAC. The IV is one that nobody can foresee (RFC 3602 §3), hence random. */
class CbcSkCipher implements SkCipher {
  readonly ivBytes = BLOCK
  readonly icvBytes: number
  readonly alignBytes = BLOCK
  readonly #suite: Suite
  readonly #cipher: BlockCipher
  readonly #mac: MacKey

  constructor(suite: Suite, descriptor: IntegrityDescriptor, encryption: Uint8Array, integrity: Uint8Array) {
    this.#suite = suite
    this.icvBytes = descriptor.icvBytes
    this.#cipher = suite.aesCbc.key(encryption)
    this.#mac = suite.hmacKey(descriptor.hash, integrity)
  }

  seal(message: Uint8Array, body: number): void {
    const start = body + BLOCK
    const end = message.length - this.icvBytes
    message.set(this.#suite.random(BLOCK), body)
    const content = message.subarray(start, end)
    this.#cipher.encrypt(message.subarray(body, start), content, content)
    message.set(this.#icv(message, end), end)
  }

  open(message: Uint8Array, body: number): Uint8Array | undefined {
    const start = body + BLOCK
    const end = message.length - this.icvBytes
    const length = end - start
    if (length < BLOCK || length % BLOCK !== 0) return undefined
    if (!equalConstantTime(this.#icv(message, end), message.subarray(end))) return undefined
    const plain = new Uint8Array(length)
    this.#cipher.decrypt(message.subarray(body, start), message.subarray(start, end), plain)
    return plain
  }

  wipe(): void {
    this.#cipher.wipe()
    this.#mac.wipe()
  }

  #icv(message: Uint8Array, end: number): Uint8Array {
    return this.#mac.mac(message.subarray(0, end)).subarray(0, this.icvBytes)
  }
}
