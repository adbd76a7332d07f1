import { ed25519 as nobleEd25519 } from '@noble/curves/ed25519.js'
import { p256, p384 } from '@noble/curves/nist.js'
import { isUnsafeEd25519Key } from '../ed25519-keys.ts'
import { CryptoError, type DiffieHellman, type Signer } from '../suite.ts'
import { ecdhP256, ecdhP384 } from './nist-ecdh.ts'

/** Ed25519 (RFC 8032), pure; strict encodings (`zip215: false`). */
export const ed25519: Signer = {
  generate() {
    return this.pair(nobleEd25519.utils.randomSecretKey())
  },
  pair(privateKey) {
    if (privateKey.length !== 32) throw new CryptoError('length', `an Ed25519 private key has 32 bytes, not ${privateKey.length}`)
    return { publicKey: nobleEd25519.getPublicKey(privateKey), privateKey: Uint8Array.from(privateKey) }
  },
  sign(pair, message) {
    if (pair.privateKey.length !== 32) throw new CryptoError('key', 'the private key cannot be used')
    return nobleEd25519.sign(message, pair.privateKey)
  },
  verify(publicKey, message, signature) {
    if (publicKey.length !== 32 || signature.length !== 64 || isUnsafeEd25519Key(publicKey)) return false
    try {
      return nobleEd25519.verify(signature, message, publicKey, { zip215: false })
    } catch {
      return false
    }
  },
}

/** ECDSA (FIPS 186-5), deterministic nonces (RFC 6979). High S is valid, as in every standard but the coins'. */
export const ecdsaP256: Signer = ecdsa(p256, ecdhP256, 'der')
export const ecdsaP256Raw: Signer = ecdsa(p256, ecdhP256, 'compact')
export const ecdsaP384: Signer = ecdsa(p384, ecdhP384, 'der')

function ecdsa(curve: typeof p256, keys: DiffieHellman, format: 'der' | 'compact'): Signer {
  return {
    generate: () => keys.generate(),
    pair: (privateKey) => keys.pair(privateKey),
    sign(pair, message) {
      if (!curve.utils.isValidSecretKey(pair.privateKey)) throw new CryptoError('key', 'the private key cannot be used')
      return curve.sign(message, pair.privateKey, { format, lowS: false, prehash: true })
    },
    verify(publicKey, message, signature) {
      if (publicKey.length !== keys.publicKeyLength || publicKey[0] !== 4) return false
      try {
        return curve.verify(signature, message, publicKey, { format, lowS: false, prehash: true })
      } catch {
        return false
      }
    },
  }
}
