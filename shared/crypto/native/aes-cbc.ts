import crypto from 'node:crypto'
import { cbcKeyLengths, checkCbcSizes } from '../cbc-sizes.ts'
import { type BlockCipher, type BlockCipherAlgorithm, CryptoError } from '../suite.ts'

const cipherNames: Readonly<Record<number, string>> = { 16: 'aes-128-cbc', 24: 'aes-192-cbc', 32: 'aes-256-cbc' }

export const aesCbc: BlockCipherAlgorithm = {
  keyLengths: cbcKeyLengths,
  blockLength: 16,
  key(key) {
    const cipher = cipherNames[key.length]
    if (cipher === undefined) throw new CryptoError('length', `a key of AES-CBC cannot have ${key.length} bytes`)
    return new NativeCbc(cipher, new Uint8Array(key))
  },
}

/** Without padding OpenSSL holds nothing back, so that `final` has nothing to say and is left out. */
class NativeCbc implements BlockCipher {
  readonly #cipher: string
  readonly #key: Uint8Array
  #wiped = false

  constructor(cipher: string, key: Uint8Array) {
    this.#cipher = cipher
    this.#key = key
  }

  encrypt(iv: Uint8Array, input: Uint8Array, out: Uint8Array): number {
    checkCbcSizes(this.#wiped, iv, input, out)
    if (input.length > 0) out.set(crypto.createCipheriv(this.#cipher, this.#key, iv).setAutoPadding(false).update(input))
    return input.length
  }

  decrypt(iv: Uint8Array, input: Uint8Array, out: Uint8Array): number {
    checkCbcSizes(this.#wiped, iv, input, out)
    if (input.length > 0) out.set(crypto.createDecipheriv(this.#cipher, this.#key, iv).setAutoPadding(false).update(input))
    return input.length
  }

  wipe(): void {
    this.#key.fill(0)
    this.#wiped = true
  }
}
