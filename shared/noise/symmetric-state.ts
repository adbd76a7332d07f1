import { CipherState } from './cipher-state.ts'
import { type CryptoFunctions, hkdf2, hkdf3 } from './crypto-functions.ts'

const empty = new Uint8Array(0)

/** What `begin` saw, to be given back to `rollback`. */
export interface Checkpoint {
  readonly chainingKey: Uint8Array
  readonly hash: Uint8Array
  readonly cipher: CipherState
  readonly nonce: bigint
}

/**
 * SymmetricState (Noise rev 34 §5.2): chaining key `ck` and handshake hash `h` of HASHLEN bytes, and a CipherState. Every step puts a
 * fresh value in the place of the old one, so a checkpoint is four references; the old values are wiped by `commit`, the new ones by
 * `rollback`.
 */
export class SymmetricState {
  readonly #functions: CryptoFunctions
  #ck: Uint8Array
  #h: Uint8Array
  #cipher: CipherState
  /** Chaining keys and ciphers replaced since the last commit. */
  #spent: { chainingKey?: Uint8Array; cipher?: CipherState }[] = []

  /** InitializeSymmetric: a name of at most HASHLEN bytes stands for itself, a longer one for its hash. */
  constructor(functions: CryptoFunctions, protocolName: string) {
    this.#functions = functions
    const name = new TextEncoder().encode(protocolName)
    if (name.length <= functions.hashLength) {
      this.#h = new Uint8Array(functions.hashLength)
      this.#h.set(name)
    } else this.#h = functions.hash(name)
    this.#ck = this.#h.slice()
    this.#cipher = new CipherState(functions)
  }

  mixKey(input: Uint8Array): void {
    const [ck, tempK] = hkdf2(this.#functions, this.#ck, input)
    this.#replace(ck, tempK)
  }

  mixHash(data: Uint8Array): void {
    this.#h = this.#functions.hash(this.#h, data)
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [ck, tempH, tempK] = hkdf3(this.#functions, this.#ck, input)
    this.mixHash(tempH)
    tempH.fill(0)
    this.#replace(ck, tempK)
  }

  /** A copy of h; unique to the session once the handshake is complete (channel binding, §11.2). */
  getHandshakeHash(): Uint8Array {
    return this.#h.slice()
  }

  hasKey(): boolean {
    return this.#cipher.hasKey()
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#cipher.encryptWithAd(this.#h, plaintext)
    this.mixHash(ciphertext)
    return ciphertext
  }

  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext = this.#cipher.decryptWithAd(this.#h, ciphertext)
    this.mixHash(ciphertext)
    return plaintext
  }

  /** The transport ciphers: Alice to Bob, then Bob to Alice. */
  split(): [CipherState, CipherState] {
    const [k1, k2] = hkdf2(this.#functions, this.#ck, empty)
    const pair: [CipherState, CipherState] = [new CipherState(this.#functions, k1), new CipherState(this.#functions, k2)]
    k1.fill(0)
    k2.fill(0)
    return pair
  }

  /** Opens a step that may yet fail. Steps do not nest. */
  begin(): Checkpoint {
    return { chainingKey: this.#ck, hash: this.#h, cipher: this.#cipher, nonce: this.#cipher.nonce }
  }

  /** The step holds: what it replaced is wiped. */
  commit(): void {
    for (const { chainingKey, cipher } of this.#spent) {
      chainingKey?.fill(0)
      cipher?.wipe()
    }
    this.#spent = []
  }

  /** The step failed: everything is as `begin` saw it, and what the step derived is wiped. */
  rollback(checkpoint: Checkpoint): void {
    for (const { chainingKey, cipher } of [...this.#spent, { chainingKey: this.#ck, cipher: this.#cipher }]) {
      if (chainingKey !== checkpoint.chainingKey) chainingKey?.fill(0)
      if (cipher !== checkpoint.cipher) cipher?.wipe()
    }
    this.#spent = []
    this.#ck = checkpoint.chainingKey
    this.#h = checkpoint.hash
    this.#cipher = checkpoint.cipher
    this.#cipher.setNonce(checkpoint.nonce)
  }

  /** Forgets the chaining key and the cipher; the handshake hash stays readable. */
  wipe(): void {
    this.commit()
    this.#ck.fill(0)
    this.#cipher.wipe()
  }

  #replace(chainingKey: Uint8Array, key: Uint8Array): void {
    this.#spent.push({ chainingKey: this.#ck, cipher: this.#cipher })
    this.#ck = chainingKey
    this.#cipher = new CipherState(this.#functions, key)
    key.fill(0)
  }
}
