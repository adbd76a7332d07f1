import { x25519 as nobleX25519 } from '@noble/curves/ed25519.js'
import { CryptoError, type DiffieHellman } from '../suite.ts'

const length = 32

/** X25519 (RFC 7748). */
export const x25519: DiffieHellman = {
  publicKeyLength: length,
  sharedLength: length,

  generate() {
    return this.pair(nobleX25519.utils.randomSecretKey())
  },

  pair(privateKey) {
    checkLength('private', privateKey)
    return { publicKey: nobleX25519.getPublicKey(privateKey), privateKey: Uint8Array.from(privateKey) }
  },

  shared(pair, publicKey) {
    checkLength('private', pair.privateKey)
    checkLength('public', publicKey)
    try {
      return nobleX25519.getSharedSecret(pair.privateKey, publicKey)
    } catch {
      // noble refuses exactly one thing here: an all-zero result (RFC 7748 §6.1).
      throw new CryptoError('low-order', 'the public key has a small order')
    }
  },
}

function checkLength(half: string, key: Uint8Array): void {
  if (key.length !== length) throw new CryptoError('length', `an X25519 ${half} key has 32 bytes, not ${key.length}`)
}
