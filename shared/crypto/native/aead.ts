import crypto from 'node:crypto'
import { oneMessage } from '../one-message.ts'
import { type Aead, type AeadAlgorithm, CryptoError } from '../suite.ts'

const tagLength = 16
const tagOption = { authTagLength: tagLength } as const

/** The 12-byte-nonce AEADs of OpenSSL, one cipher name per key length. */
export const chacha20poly1305: AeadAlgorithm = algorithm('ChaCha20-Poly1305', { 32: 'chacha20-poly1305' })
export const aesGcm: AeadAlgorithm = algorithm('AES-GCM', { 16: 'aes-128-gcm', 24: 'aes-192-gcm', 32: 'aes-256-gcm' })

type CipherName = 'chacha20-poly1305' | 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm'

function algorithm(title: string, ciphers: Readonly<Record<number, CipherName>>): AeadAlgorithm {
  const ready = (key: Uint8Array): Aead => {
    const cipher = ciphers[key.length]
    if (cipher === undefined) throw new CryptoError('length', `a key of ${title} cannot have ${key.length} bytes`)
    return new NativeAead(cipher, new Uint8Array(key))
  }
  return { keyLengths: Object.keys(ciphers).map(Number), nonceLength: 12, tagLength, key: ready, ...oneMessage(ready) }
}

/**
 * OpenSSL through Cipheriv. Node 20 has no one-shot AEAD, so each packet pays for one cipher object (two thirds of the cost at
 * 1400 B); the key is handed over raw because a KeyObject is dearer here.
 */
class NativeAead implements Aead {
  readonly #cipher: CipherName
  readonly #key: Uint8Array
  #wiped = false

  constructor(cipher: CipherName, key: Uint8Array) {
    this.#cipher = cipher
    this.#key = key
  }

  seal(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    this.#check(nonce, out, input.length + tagLength)
    const cipher = crypto.createCipheriv(this.#cipher as 'chacha20-poly1305', this.#key, nonce, tagOption)
    if (aad !== undefined && aad.length > 0) cipher.setAAD(aad, undefined as never)
    if (input.length > 0) out.set(cipher.update(input))
    cipher.final()
    out.set(cipher.getAuthTag(), input.length)
    return input.length + tagLength
  }

  open(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    const length = input.length - tagLength
    this.#check(nonce, out, length)
    if (length < 0) return -1
    const decipher = crypto.createDecipheriv(this.#cipher as 'chacha20-poly1305', this.#key, nonce, tagOption)
    decipher.setAuthTag(input.subarray(length))
    if (aad !== undefined && aad.length > 0) decipher.setAAD(aad, undefined as never)
    const plain = length > 0 ? decipher.update(input.subarray(0, length)) : undefined
    try {
      decipher.final()
    } catch {
      plain?.fill(0)
      return -1
    }
    if (plain !== undefined) out.set(plain)
    return length
  }

  wipe(): void {
    this.#key.fill(0)
    this.#wiped = true
  }

  #check(nonce: Uint8Array, out: Uint8Array, needed: number): void {
    if (this.#wiped) throw new CryptoError('key', 'this key has been wiped')
    if (nonce.length !== 12) throw new CryptoError('length', `a nonce has 12 bytes, not ${nonce.length}`)
    if (out.length < needed) throw new CryptoError('length', `the output needs ${needed} bytes, has ${out.length}`)
  }
}
