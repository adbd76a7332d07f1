import { CryptoError, type DiffieHellman, type KeyPair } from '../suite.ts'
import type { CMemory } from './evp.ts'
import type { EvpPkey } from './evp-pkey.ts'
import { HeldKeys } from './held-keys.ts'

const LENGTH = 32
/** EVP_PKEY_X25519: include/openssl/obj_mac.h. */
const X25519 = 1034

/** Addresses of OpenSSL's: a private key, and a context that is ready to agree with it. */
interface PrivateForm {
  readonly key: number
  readonly context: number
}

/**
 * X25519 (RFC 7748) through OpenSSL directly: no objects of Node's and no JSON between. Private keys lie in the native memory for the call
 * only. The other's key is not checked beforehand, since every 32 bytes are one (§5); what may come out is (§6.1).
 */
export class OpensslX25519 implements DiffieHellman {
  readonly publicKeyLength = LENGTH
  readonly sharedLength = LENGTH
  readonly #pkey: EvpPkey
  readonly #memory: CMemory
  readonly #random: (length: number) => Uint8Array
  readonly #held: HeldKeys<PrivateForm>
  /** Where 32 bytes lie that go in or come out, and where their number. */
  readonly #at: number
  readonly #lengthAt: number
  #peer = 0

  /** Takes 128 bytes of `memory`. */
  constructor(pkey: EvpPkey, memory: CMemory, random: (length: number) => Uint8Array) {
    this.#pkey = pkey
    this.#memory = memory
    this.#random = random
    this.#held = new HeldKeys((form) => this.#free(form))
    this.#at = memory.allocate(LENGTH)
    this.#lengthAt = memory.allocate(8)
  }

  generate(): KeyPair {
    return this.#pairOf(this.#random(LENGTH))
  }

  pair(privateKey: Uint8Array): KeyPair {
    return this.#pairOf(Uint8Array.from(privateKey))
  }

  shared(pair: KeyPair, publicKey: Uint8Array): Uint8Array {
    if (publicKey.length !== LENGTH) throw new CryptoError('length', `an X25519 public key has 32 bytes, not ${publicKey.length}`)
    const { context } = this.#held.get(pair) ?? this.#hold(pair, this.#formOf(pair.privateKey))
    const peer = this.#peerOf(publicKey)
    const pkey = this.#pkey
    const out = this.#memory.address(this.#at, LENGTH)
    if (pkey.setPeer(context, peer, 0) !== 1) throw this.#refused('OpenSSL does not take the public key')
    // It refuses exactly one thing here: an all-zero result (RFC 7748 §6.1).
    if (pkey.derive(context, out, this.#wholeLength()) !== 1) {
      pkey.clearErrors()
      throw new CryptoError('low-order', 'the public key has a small order')
    }
    return this.#takeOut()
  }

  /** Frees every key that is held. It can be used on. */
  close(): void {
    this.#held.clear()
    if (this.#peer !== 0) this.#pkey.free(this.#peer)
    this.#peer = 0
  }

  /** Takes `privateKey` over. */
  #pairOf(privateKey: Uint8Array): KeyPair {
    const form = this.#formOf(privateKey)
    const out = this.#memory.address(this.#at, LENGTH)
    if (this.#pkey.getPublic(form.key, out, this.#wholeLength()) !== 1) {
      this.#free(form)
      throw this.#refused('OpenSSL does not give the public key')
    }
    const pair = { publicKey: this.#takeOut(), privateKey }
    this.#hold(pair, form)
    return pair
  }

  #formOf(privateKey: Uint8Array): PrivateForm {
    if (privateKey.length !== LENGTH)
      throw new CryptoError('length', `an X25519 private key has 32 bytes, not ${privateKey.length}`)
    const pkey = this.#pkey
    const { bytes } = this.#memory
    bytes.set(privateKey, this.#at)
    const key = pkey.newPrivate(X25519, 0, this.#memory.address(this.#at, LENGTH), LENGTH)
    bytes.fill(0, this.#at, this.#at + LENGTH)
    if (key === 0) throw this.#refused('OpenSSL does not take the private key')
    const context = pkey.newContext(key, 0)
    if (context !== 0 && pkey.deriveInit(context) === 1) return { key, context }
    this.#free({ key, context })
    throw this.#refused('OpenSSL does not agree with this key')
  }

  #hold(pair: KeyPair, form: PrivateForm): PrivateForm {
    this.#held.hold(pair, form)
    return form
  }

  /** OpenSSL overwrites the private half as it frees it. Null is for both calls nothing to do. */
  #free({ key, context }: PrivateForm): void {
    this.#pkey.freeContext(context)
    this.#pkey.free(key)
  }

  /** One object of OpenSSL's for everybody's public keys, since making one costs a seventh of an agreement, and changing it nothing. */
  #peerOf(publicKey: Uint8Array): number {
    const pkey = this.#pkey
    this.#memory.bytes.set(publicKey, this.#at)
    const bytes = this.#memory.address(this.#at, LENGTH)
    if (this.#peer === 0) this.#peer = pkey.newPublic(X25519, 0, bytes, LENGTH)
    else if (pkey.setPublic(this.#peer, bytes, LENGTH) !== 1) throw this.#refused('OpenSSL does not take the public key')
    if (this.#peer === 0) throw this.#refused('OpenSSL does not take the public key')
    return this.#peer
  }

  /** The address of the number 32, which every call may change. */
  #wholeLength(): number {
    this.#memory.setSize(this.#lengthAt, LENGTH)
    return this.#memory.address(this.#lengthAt, 8)
  }

  /** What has come out, fresh; no copy of it stays. */
  #takeOut(): Uint8Array {
    const { bytes } = this.#memory
    const taken = bytes.slice(this.#at, this.#at + LENGTH)
    bytes.fill(0, this.#at, this.#at + LENGTH)
    return taken
  }

  /** What has failed has left an error behind that Node might take for its own. */
  #refused(message: string): CryptoError {
    this.#pkey.clearErrors()
    return new CryptoError('key', message)
  }
}
