import type { Aead, Suite } from '#shared/crypto/suite.ts'
import { damaged } from './backup-header.ts'

/**
 * A stream under AES-256-GCM in chunks (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár): the nonce counts the chunks
 * and says which is the last, so that none can be left out, moved, doubled or cut off unseen.
 *
 *   nonce (12 bytes): last 00|01, 3 zero bytes, number u64      associated data: SHA-256 of header and check
 *   all chunks but the last have CHUNK_LENGTH bytes of plaintext; each is followed by its tag of 16 bytes
 */
export const CHUNK_LENGTH = 65_536
export const SEALED_LENGTH = CHUNK_LENGTH + 16

export class SealedChunks {
  readonly #aead: Aead
  readonly #about: Uint8Array
  #number = 0

  /** `key`: 32 bytes for this stream alone; `header`: the bytes before it. */
  constructor(key: Uint8Array, header: Uint8Array, suite: Pick<Suite, 'aesGcm' | 'hash'>) {
    this.#aead = suite.aesGcm.key(key)
    this.#about = suite.hash('sha256', header)
  }

  seal(chunk: Uint8Array, isLast: boolean): Uint8Array {
    const out = new Uint8Array(chunk.length + 16)
    this.#aead.seal(this.#nonce(isLast), this.#about, chunk, out)
    return out
  }

  /** Throws AditError `backup-damaged`. */
  open(sealed: Uint8Array, isLast: boolean): Uint8Array {
    const out = new Uint8Array(Math.max(0, sealed.length - 16))
    const number = this.#number
    const length = sealed.length < 16 ? -1 : this.#aead.open(this.#nonce(isLast), this.#about, sealed, out)
    if (length < 0) throw damaged(`what lies around byte ${number * SEALED_LENGTH} is not what was written`)
    return out.subarray(0, length)
  }

  wipe(): void {
    this.#aead.wipe()
  }

  #nonce(isLast: boolean): Uint8Array {
    const nonce = Buffer.alloc(12)
    nonce[0] = isLast ? 1 : 0
    nonce.writeBigUInt64BE(BigInt(this.#number++), 4)
    return nonce
  }
}
