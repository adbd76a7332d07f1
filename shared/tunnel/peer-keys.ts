import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { CryptoError } from '#shared/crypto/suite.ts'
import { type LocalIdentity, NO_PSK } from './handshake.ts'

/** What is known of a peer for ever: its static key, the pre-shared key, and the DH of the two static keys once it was needed. */
export class PeerKeys {
  /** The static public key, lower-case hex. */
  readonly hex: string
  psk: Uint8Array
  readonly #local: LocalIdentity
  #staticShared: Uint8Array | undefined

  constructor(local: LocalIdentity, publicKey: Uint8Array, psk: Uint8Array | undefined) {
    if (publicKey.length !== 32) throw new CryptoError('length', `an X25519 public key has 32 bytes, not ${publicKey.length}`)
    if (psk !== undefined && psk.length !== 32)
      throw new CryptoError('length', `a pre-shared key has 32 bytes, not ${psk.length}`)
    this.hex = toHex(publicKey)
    this.psk = psk ?? NO_PSK
    this.#local = local
  }

  /** 32 bytes, fresh. Kept as text: an idle peer needs no second copy. */
  get publicKey(): Uint8Array {
    return fromHex(this.hex)
  }

  /** DH of the static keys, computed once; undefined where the peer's key has a small order. */
  get staticShared(): Uint8Array | undefined {
    this.#staticShared ??= this.#local.staticShared(this.publicKey)
    return this.#staticShared
  }

  wipe(): void {
    this.#staticShared?.fill(0)
    this.#staticShared = undefined
  }
}
