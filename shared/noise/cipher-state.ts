import type { CryptoFunctions } from './crypto-functions.ts'
import { NoiseError } from './noise-error.ts'

/** 2^64-1 is reserved for rekeying (Noise rev 34 §5.1); a state that reaches it is finished. */
export const maxNonce = 2n ** 64n - 1n

const keyLength = 32
const tagLength = 16
const empty = new Uint8Array(0)

/** Nonces are written here; everything below is synchronous. */
const nonce = new Uint8Array(12)
const nonceView = new DataView(nonce.buffer)

/**
 * CipherState (§5.1): a key `k`, empty at first, and a nonce `n` of 64 bits, held as a bigint because a JavaScript number is exact only
 * to 2^53. Most keys of a handshake see one message, so that none is made ready: keys for traffic go to a data lane.
 */
export class CipherState {
  readonly #functions: CryptoFunctions
  /** Own copy; undefined is the specification's empty k. */
  #k: Uint8Array | undefined
  #n = 0n

  constructor(functions: CryptoFunctions, key?: Uint8Array) {
    this.#functions = functions
    if (key !== undefined) this.initializeKey(key)
  }

  /** Takes the first 32 bytes of `key`, which stays the caller's. */
  initializeKey(key: Uint8Array): void {
    this.#k = key.slice(0, keyLength)
    this.#n = 0n
  }

  hasKey(): boolean {
    return this.#k !== undefined
  }

  /** The nonce of the next message. */
  get nonce(): bigint {
    return this.#n
  }

  /** For transports that carry the nonce with each message (§11.4). Throws RangeError unless 0 <= n < 2^64. */
  setNonce(n: bigint): void {
    if (n < 0n || n > maxNonce) throw new RangeError('a nonce has 64 bits')
    this.#n = n
  }

  /** Ciphertext and 16-byte tag, or a copy of the plaintext while k is empty. Throws NoiseError `exhausted`. */
  encryptWithAd(ad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const k = this.#k
    if (k === undefined) return plaintext.slice()
    const out = new Uint8Array(plaintext.length + tagLength)
    this.#putNonce()
    this.#functions.cipher.sealOnce(k, nonce, ad, plaintext, out)
    this.#n += 1n
    return out
  }

  /** Throws NoiseError `short`, `decrypt` (then n does not move) or `exhausted`. */
  decryptWithAd(ad: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    const k = this.#k
    if (k === undefined) return ciphertext.slice()
    if (ciphertext.length < tagLength) throw new NoiseError('short', 'no room for an authentication tag')
    const out = new Uint8Array(ciphertext.length - tagLength)
    this.#putNonce()
    if (this.#functions.cipher.openOnce(k, nonce, ad, ciphertext, out) < 0)
      throw new NoiseError('decrypt', 'authentication failed')
    this.#n += 1n
    return out
  }

  /** §4.2 REKEY: the first 32 bytes of ENCRYPT(k, 2^64-1, "", zeros). The nonce goes on. */
  rekey(): void {
    if (this.#k === undefined) throw new NoiseError('turn', 'an empty key cannot be renewed')
    const out = new Uint8Array(keyLength + tagLength)
    this.#functions.nonce(maxNonce, nonceView)
    this.#functions.cipher.sealOnce(this.#k, nonce, empty, new Uint8Array(keyLength), out)
    this.#k.set(out.subarray(0, keyLength))
    out.fill(0)
  }

  /** A copy of the raw 32-byte key, for a data lane that keeps its own counters; the caller wipes it. */
  exportKey(): Uint8Array {
    if (this.#k === undefined) throw new NoiseError('turn', 'the key is empty')
    return this.#k.slice()
  }

  /** Overwrites the key; the state is empty afterwards. */
  wipe(): void {
    this.#k?.fill(0)
    this.#k = undefined
  }

  #putNonce(): void {
    if (this.#n === maxNonce) throw new NoiseError('exhausted', 'all 2^64-1 nonces of this key are spent')
    this.#functions.nonce(this.#n, nonceView)
  }
}
