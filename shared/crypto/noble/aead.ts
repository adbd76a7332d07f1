import { gcm } from '@noble/ciphers/aes.js'
import { chacha20poly1305 as nobleChacha, xchacha20poly1305 as nobleXchacha } from '@noble/ciphers/chacha.js'
import { oneMessage } from '../one-message.ts'
import { type Aead, type AeadAlgorithm, CryptoError } from '../suite.ts'

const tagLength = 16

interface NobleCipher {
  encrypt(plaintext: Uint8Array): Uint8Array
  decrypt(ciphertext: Uint8Array): Uint8Array
}
type NobleAlgorithm = (key: Uint8Array, nonce: Uint8Array, aad?: Uint8Array) => NobleCipher

export const chacha20poly1305: AeadAlgorithm = /* @__PURE__ */ algorithm('ChaCha20-Poly1305', nobleChacha, [32], 12)
export const xchacha20poly1305: AeadAlgorithm = /* @__PURE__ */ algorithm('XChaCha20-Poly1305', nobleXchacha, [32], 24)
export const aesGcm: AeadAlgorithm = /* @__PURE__ */ algorithm('AES-GCM', gcm, [16, 24, 32], 12)

function algorithm(title: string, cipher: NobleAlgorithm, keyLengths: readonly number[], nonceLength: number): AeadAlgorithm {
  const ready = (key: Uint8Array): Aead => {
    if (!keyLengths.includes(key.length)) throw new CryptoError('length', `a key of ${title} cannot have ${key.length} bytes`)
    return new NobleAead(cipher, Uint8Array.from(key), nonceLength)
  }
  return { keyLengths, nonceLength, tagLength, key: ready, ...oneMessage(ready) }
}

class NobleAead implements Aead {
  readonly #cipher: NobleAlgorithm
  readonly #key: Uint8Array
  readonly #nonceLength: number
  #wiped = false

  constructor(cipher: NobleAlgorithm, key: Uint8Array, nonceLength: number) {
    this.#cipher = cipher
    this.#key = key
    this.#nonceLength = nonceLength
  }

  seal(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    this.#check(nonce, out, input.length + tagLength)
    out.set(this.#cipher(this.#key, nonce, aad).encrypt(input))
    return input.length + tagLength
  }

  open(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    const length = input.length - tagLength
    this.#check(nonce, out, length)
    if (length < 0) return -1
    const cipher = this.#cipher(this.#key, nonce, aad)
    let plain: Uint8Array
    try {
      plain = cipher.decrypt(input)
    } catch {
      return -1
    }
    out.set(plain)
    return length
  }

  wipe(): void {
    this.#key.fill(0)
    this.#wiped = true
  }

  #check(nonce: Uint8Array, out: Uint8Array, needed: number): void {
    if (this.#wiped) throw new CryptoError('key', 'this key has been wiped')
    if (nonce.length !== this.#nonceLength)
      throw new CryptoError('length', `a nonce has ${this.#nonceLength} bytes, not ${nonce.length}`)
    if (out.length < needed) throw new CryptoError('length', `the output needs ${needed} bytes, has ${out.length}`)
  }
}
