import { cbc } from '@noble/ciphers/aes.js'
import { cbcKeyLengths, checkCbcSizes } from '../cbc-sizes.ts'
import { type BlockCipher, type BlockCipherAlgorithm, CryptoError } from '../suite.ts'

export const aesCbc: BlockCipherAlgorithm = {
  keyLengths: cbcKeyLengths,
  blockLength: 16,
  key(key) {
    if (!cbcKeyLengths.some((length) => length === key.length))
      throw new CryptoError('length', `a key of AES-CBC cannot have ${key.length} bytes`)
    return new NobleCbc(Uint8Array.from(key))
  },
}

const bare = { disablePadding: true }

class NobleCbc implements BlockCipher {
  readonly #key: Uint8Array
  #wiped = false

  constructor(key: Uint8Array) {
    this.#key = key
  }

  encrypt(iv: Uint8Array, input: Uint8Array, out: Uint8Array): number {
    checkCbcSizes(this.#wiped, iv, input, out)
    out.set(cbc(this.#key, iv, bare).encrypt(input))
    return input.length
  }

  decrypt(iv: Uint8Array, input: Uint8Array, out: Uint8Array): number {
    checkCbcSizes(this.#wiped, iv, input, out)
    if (input.length > 0) out.set(cbc(this.#key, iv, bare).decrypt(input))
    return input.length
  }

  wipe(): void {
    this.#key.fill(0)
    this.#wiped = true
  }
}
