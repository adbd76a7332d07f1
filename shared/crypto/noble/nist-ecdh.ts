import { p256, p384, p521 } from '@noble/curves/nist.js'
import { CryptoError, type DiffieHellman } from '../suite.ts'

type NobleCurve = typeof p256

/** ECDH over the NIST curves (RFC 5903): uncompressed points in, the x coordinate out. */
export const ecdhP256: DiffieHellman = nistCurve('P-256', p256, 32)
export const ecdhP384: DiffieHellman = nistCurve('P-384', p384, 48)
export const ecdhP521: DiffieHellman = nistCurve('P-521', p521, 66)

function nistCurve(title: string, curve: NobleCurve, size: number): DiffieHellman {
  const publicKeyLength = 1 + 2 * size
  const checkPrivate = (privateKey: Uint8Array): void => {
    if (privateKey.length !== size)
      throw new CryptoError('length', `a ${title} private key has ${size} bytes, not ${privateKey.length}`)
    if (!curve.utils.isValidSecretKey(privateKey))
      throw new CryptoError('key', `a ${title} private key lies between 1 and the group order`)
  }
  return {
    publicKeyLength,
    sharedLength: size,
    generate() {
      return this.pair(curve.utils.randomSecretKey())
    },
    pair(privateKey) {
      checkPrivate(privateKey)
      return { publicKey: curve.getPublicKey(privateKey, false), privateKey: Uint8Array.from(privateKey) }
    },
    shared(pair, publicKey) {
      checkPrivate(pair.privateKey)
      if (publicKey.length !== publicKeyLength || publicKey[0] !== 4)
        throw new CryptoError('length', `a ${title} public key is an uncompressed point of ${publicKeyLength} bytes`)
      try {
        return curve.getSharedSecret(pair.privateKey, publicKey, true).slice(1)
      } catch {
        throw new CryptoError('off-curve', `the public key is no point of ${title}`)
      }
    },
  }
}
