import { CryptoError } from '../suite.ts'
import type { AeadContext } from './aead-context.ts'
import { type CMemory, TAG_LENGTH } from './evp.ts'

/** Where the parts of one packet are copied to, bytes. */
const PLACE = { key: 0, nonce: 32, aad: 48, data: 1024, length: 1024 + 65_536 + TAG_LENGTH } as const
const LONGEST_AAD = PLACE.data - PLACE.aad
const LONGEST_INPUT = PLACE.length - PLACE.data - TAG_LENGTH
const NONCE_LENGTH = 12

/** Native memory that packets from anywhere pass through, one at a time. */
export class PacketRoom {
  readonly #bytes: Uint8Array
  readonly #at: number

  /** Takes 66 KiB of `memory`. */
  constructor(memory: CMemory) {
    this.#bytes = memory.bytes
    this.#at = memory.allocate(PLACE.length)
  }

  /** Longer ones do not go through here. */
  isTooLong(aad: Uint8Array | undefined, input: Uint8Array): boolean {
    return input.length > LONGEST_INPUT || (aad !== undefined && aad.length > LONGEST_AAD)
  }

  /** Calls `use` with where the key stands meanwhile. */
  withKey<T>(key: Uint8Array, use: (at: number) => T): T {
    const at = this.#at + PLACE.key
    this.#bytes.set(key, at)
    try {
      return use(at)
    } finally {
      this.#bytes.fill(0, at, at + key.length)
    }
  }

  /** Where 32 zeros stand while there is no key. */
  get noKeyAt(): number {
    return this.#at + PLACE.key
  }

  /** As `Aead.seal`, of what is not too long. */
  seal(context: AeadContext, nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    const at = this.#at
    const data = at + PLACE.data
    this.#place(nonce, aad, input)
    const sealed = context.seal(at + PLACE.nonce, at + PLACE.aad, aad?.length ?? 0, data, input.length, data)
    out.set(this.#bytes.subarray(data, data + sealed))
    return sealed
  }

  /** As `Aead.open`, of what is not too long and has room for a tag. */
  open(context: AeadContext, nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array, out: Uint8Array): number {
    const at = this.#at
    const data = at + PLACE.data
    this.#place(nonce, aad, input)
    const opened = context.open(at + PLACE.nonce, at + PLACE.aad, aad?.length ?? 0, data, input.length, data)
    if (opened > 0) out.set(this.#bytes.subarray(data, data + opened))
    return opened
  }

  #place(nonce: Uint8Array, aad: Uint8Array | undefined, input: Uint8Array): void {
    const at = this.#at
    this.#bytes.set(nonce, at + PLACE.nonce)
    if (aad !== undefined) this.#bytes.set(aad, at + PLACE.aad)
    this.#bytes.set(input, at + PLACE.data)
  }
}

/** Throws CryptoError `length` where a packet of `needed` bytes cannot be written. */
export function checkSizes(nonce: Uint8Array, out: Uint8Array, needed: number): void {
  if (nonce.length !== NONCE_LENGTH) throw new CryptoError('length', `a nonce has 12 bytes, not ${nonce.length}`)
  if (out.length < needed) throw new CryptoError('length', `the output needs ${needed} bytes, has ${out.length}`)
}
