import { CipherState } from './cipher-state.ts'
import { type CryptoFunctions, hkdf2, hkdf3, hkdfExtract, hkdfFirst, hkdfSecond } from './crypto-functions.ts'

const empty = new Uint8Array(0)

/** What `begin` saw. */
interface Checkpoint {
  readonly chainingKey: Uint8Array
  readonly hash: Uint8Array
  readonly extracted: Uint8Array | undefined
  readonly cipher: CipherState | undefined
  readonly nonce: bigint
}

/**
 * SymmetricState (Noise rev 34 §5.2): chaining key `ck` and handshake hash `h` of HASHLEN bytes, and a CipherState. Every step puts a
 * fresh value in the place of the old one, so a checkpoint is a few references; the old values are wiped by `commit`, the new ones by
 * `rollback`.
 *
 * MixKey derives `k` when something is first encrypted or decrypted with it: most DH results are followed by another, whose k takes
 * its place, and the HMAC for it would be a third of the work.
 */
export class SymmetricState {
  readonly #functions: CryptoFunctions
  #ck: Uint8Array
  #h: Uint8Array
  /** Of the last MixKey, while its k was not needed: HKDF's temp_key, whose first output is #ck and whose second is k. */
  #extracted: Uint8Array | undefined
  /** Undefined while k is empty or not yet derived. */
  #cipher: CipherState | undefined
  /** While a step is under way. */
  #before: Checkpoint | undefined

  private constructor(functions: CryptoFunctions, chainingKey: Uint8Array, hash: Uint8Array) {
    this.#functions = functions
    this.#ck = chainingKey
    this.#h = hash
  }

  /** InitializeSymmetric: a name of at most HASHLEN bytes stands for itself, a longer one for its hash. */
  static initialize(functions: CryptoFunctions, protocolName: string): SymmetricState {
    const name = new TextEncoder().encode(protocolName)
    if (name.length > functions.hashLength) {
      const hash = functions.hash(name)
      return new SymmetricState(functions, hash.slice(), hash)
    }
    const padded = new Uint8Array(functions.hashLength)
    padded.set(name)
    return new SymmetricState(functions, padded.slice(), padded)
  }

  /** The same ck and h once more, for a state that no key was mixed into yet. */
  fork(): SymmetricState {
    return new SymmetricState(this.#functions, this.#ck.slice(), this.#h)
  }

  mixKey(input: Uint8Array): void {
    const extracted = hkdfExtract(this.#functions, this.#ck, input)
    this.#replace(hkdfFirst(this.#functions, extracted), extracted, undefined)
  }

  mixHash(data: Uint8Array): void {
    this.#h = this.#functions.hash(this.#h, data)
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [ck, tempH, tempK] = hkdf3(this.#functions, this.#ck, input)
    this.mixHash(tempH)
    tempH.fill(0)
    this.#replace(ck, undefined, this.#cipherOf(tempK))
  }

  /** A copy of h; unique to the session once the handshake is complete (channel binding, §11.2). */
  getHandshakeHash(): Uint8Array {
    return this.#h.slice()
  }

  hasKey(): boolean {
    return this.#cipher !== undefined || this.#extracted !== undefined
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#keyed()?.encryptWithAd(this.#h, plaintext) ?? plaintext.slice()
    this.mixHash(ciphertext)
    return ciphertext
  }

  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext = this.#keyed()?.decryptWithAd(this.#h, ciphertext) ?? ciphertext.slice()
    this.mixHash(ciphertext)
    return plaintext
  }

  /** The transport ciphers: Alice to Bob, then Bob to Alice. */
  split(): [CipherState, CipherState] {
    const [k1, k2] = hkdf2(this.#functions, this.#ck, empty)
    return [this.#cipherOf(k1), this.#cipherOf(k2)]
  }

  /** Opens a step that may yet fail. Steps do not nest. */
  begin(): void {
    this.#before = {
      chainingKey: this.#ck,
      hash: this.#h,
      extracted: this.#extracted,
      cipher: this.#cipher,
      nonce: this.#cipher?.nonce ?? 0n,
    }
  }

  /** The step holds: what it replaced is wiped. */
  commit(): void {
    const before = this.#before
    if (before === undefined) return
    if (before.chainingKey !== this.#ck) before.chainingKey.fill(0)
    if (before.extracted !== this.#extracted) before.extracted?.fill(0)
    if (before.cipher !== this.#cipher) before.cipher?.wipe()
    this.#before = undefined
  }

  /** The step failed: everything is as `begin` saw it, and what the step derived is wiped. */
  rollback(): void {
    const before = this.#before
    if (before === undefined) return
    this.#replace(before.chainingKey, before.extracted, before.cipher)
    this.#h = before.hash
    this.#cipher?.setNonce(before.nonce)
    this.#before = undefined
  }

  /** Forgets the chaining key and the cipher; the handshake hash stays readable. */
  wipe(): void {
    this.commit()
    this.#ck.fill(0)
    this.#replace(this.#ck, undefined, undefined)
  }

  /** The cipher of k; undefined while k is empty. */
  #keyed(): CipherState | undefined {
    if (this.#extracted !== undefined)
      this.#replace(this.#ck, undefined, this.#cipherOf(hkdfSecond(this.#functions, this.#extracted, this.#ck)))
    return this.#cipher
  }

  #cipherOf(key: Uint8Array): CipherState {
    const cipher = new CipherState(this.#functions, key)
    key.fill(0)
    return cipher
  }

  /** What was made within the step is wiped when it is replaced; what `begin` saw waits for the end of the step. */
  #replace(chainingKey: Uint8Array, extracted: Uint8Array | undefined, cipher: CipherState | undefined): void {
    const before = this.#before
    if (this.#ck !== chainingKey && this.#ck !== before?.chainingKey) this.#ck.fill(0)
    if (this.#extracted !== extracted && this.#extracted !== before?.extracted) this.#extracted?.fill(0)
    if (this.#cipher !== cipher && this.#cipher !== before?.cipher) this.#cipher?.wipe()
    this.#ck = chainingKey
    this.#extracted = extracted
    this.#cipher = cipher
  }
}
