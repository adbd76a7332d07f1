import { CryptoError } from '../suite.ts'
import { type CMemory, type Evp, TAG_LENGTH, type TagParameter } from './evp.ts'

export type Direction = 'seal' | 'open'

/** Bytes of a nonce. */
const NONCE_LENGTH = 12

/** What all contexts of a thread have in common. `written`: the address of an int that OpenSSL fills and nobody reads. */
export interface ContextTools {
  readonly evp: Evp
  readonly memory: CMemory
  readonly tag: TagParameter
  readonly written: number
}

/**
 * One direction of one session: a cipher context of OpenSSL, keyed once. All places are offsets into the memory that it was made with;
 * `outAt` is `at` (in place), or the two parts do not overlap. Nothing is allocated on the way.
 */
export class AeadContext {
  readonly #evp: Evp
  readonly #memory: CMemory
  readonly #tag: TagParameter
  readonly #written: number
  readonly #afterFinal: (() => void) | undefined
  /** The address of the context that this direction uses; 0: none. */
  #sealing = 0
  #opening = 0

  /** `cipher`: an address of OpenSSL's; `key`: of the key's bytes, borrowed; `afterFinal` cleans up after OpenSSL. */
  constructor(
    { evp, memory, tag, written }: ContextTools,
    cipher: number,
    direction: Direction,
    key: number,
    afterFinal: (() => void) | undefined,
  ) {
    this.#evp = evp
    this.#memory = memory
    this.#tag = tag
    this.#written = written
    this.#afterFinal = afterFinal
    const context = evp.newContext()
    const init = direction === 'seal' ? evp.encryptInit : evp.decryptInit
    if (context === 0 || init(context, cipher, key, 0, 0) !== 1) {
      if (context !== 0) evp.freeContext(context)
      throw new CryptoError('key', 'OpenSSL does not take the key')
    }
    if (direction === 'seal') this.#sealing = context
    else this.#opening = context
  }

  /** Another key in the place of the one that is there; `keyAt` as in the constructor's `key`, but an offset. */
  rekey(keyAt: number, keyLength: number): void {
    const context = this.#sealing + this.#opening
    const init = this.#sealing === 0 ? this.#evp.decryptInit : this.#evp.encryptInit
    if (context !== 0 && init(context, 0, this.#memory.address(keyAt, keyLength), 0, 0) === 1) return
    this.#evp.clearErrors()
    throw new CryptoError('key', 'OpenSSL does not take the key')
  }

  /** Seals `length` bytes at `at`; ciphertext and 16-byte tag stand at `outAt`. Returns `length` + 16. */
  seal(nonceAt: number, aadAt: number, aadLength: number, at: number, length: number, outAt: number): number {
    const context = this.#sealing
    if (context === 0) throw new CryptoError('key', 'this key has been wiped, or does not seal')
    const evp = this.#evp
    const memory = this.#memory
    const from = memory.address(at, length)
    const to = memory.address(outAt, length + TAG_LENGTH)
    let bad = 1 ^ evp.encryptInit(context, 0, 0, memory.address(nonceAt, NONCE_LENGTH), 0)
    if (aadLength > 0) bad |= 1 ^ evp.encryptUpdate(context, 0, this.#written, memory.address(aadAt, aadLength), aadLength)
    if (length > 0) bad |= 1 ^ evp.encryptUpdate(context, to, this.#written, from, length)
    bad |= 1 ^ evp.encryptFinal(context, to, this.#written)
    this.#afterFinal?.()
    bad |= 1 ^ evp.getParameters(context, this.#tag.at(to + length))
    if (bad === 0) return length + TAG_LENGTH
    memory.bytes.fill(0, outAt, outAt + length + TAG_LENGTH)
    evp.clearErrors()
    throw new CryptoError('key', 'OpenSSL does not seal')
  }

  /** Opens `length` bytes, the tag among them. Returns the plaintext's length, or -1 where it is not authentic (then `out` is zeros). */
  open(nonceAt: number, aadAt: number, aadLength: number, at: number, length: number, outAt: number): number {
    const context = this.#opening
    if (context === 0) throw new CryptoError('key', 'this key has been wiped, or does not open')
    const plain = length - TAG_LENGTH
    if (plain < 0) return -1
    const evp = this.#evp
    const memory = this.#memory
    const from = memory.address(at, length)
    const to = memory.address(outAt, plain)
    const nonce = memory.address(nonceAt, NONCE_LENGTH)
    let bad = 1 ^ evp.decryptInit(context, 0, 0, nonce, this.#tag.at(from + plain))
    if (aadLength > 0) bad |= 1 ^ evp.decryptUpdate(context, 0, this.#written, memory.address(aadAt, aadLength), aadLength)
    if (plain > 0) bad |= 1 ^ evp.decryptUpdate(context, to, this.#written, from, plain)
    // The only call that says whether it is authentic. It must be made, and must answer 1.
    bad |= 1 ^ evp.decryptFinal(context, to, this.#written)
    this.#afterFinal?.()
    if (bad === 0) return plain
    memory.bytes.fill(0, outAt, outAt + plain)
    // Else Node's own crypto in this thread might take what a stranger has caused for its own failure.
    evp.clearErrors()
    return -1
  }

  /** OpenSSL overwrites the key and frees the context. */
  wipe(): void {
    const context = this.#sealing + this.#opening
    this.#sealing = this.#opening = 0
    if (context !== 0) this.#evp.freeContext(context)
  }
}
