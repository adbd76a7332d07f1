import crypto from 'node:crypto'
import { plainView } from '#shared/bytes/view.ts'
import { CryptoError, type DiffieHellman, type KeyPair } from '../suite.ts'
import { padded } from './padded.ts'

/** ECDH over the NIST curves (RFC 5903): uncompressed points in, the x coordinate out. */
export const ecdhP256: DiffieHellman = nistCurve('P-256', 'prime256v1', 32)
export const ecdhP384: DiffieHellman = nistCurve('P-384', 'secp384r1', 48)
export const ecdhP521: DiffieHellman = nistCurve('P-521', 'secp521r1', 66)

function nistCurve(title: string, opensslName: string, size: number): DiffieHellman {
  const publicKeyLength = 1 + 2 * size
  /** OpenSSL's form of a pair that was made here; dies with its pair. */
  const objects = new WeakMap<KeyPair, crypto.ECDH>()

  const pairOf = (ecdh: crypto.ECDH): KeyPair => {
    const pair = { publicKey: plainView(ecdh.getPublicKey()), privateKey: padded(ecdh.getPrivateKey(), size) }
    objects.set(pair, ecdh)
    return pair
  }
  const withPrivate = (privateKey: Uint8Array): crypto.ECDH => {
    if (privateKey.length !== size)
      throw new CryptoError('length', `a ${title} private key has ${size} bytes, not ${privateKey.length}`)
    const ecdh = crypto.createECDH(opensslName)
    try {
      ecdh.setPrivateKey(privateKey)
    } catch {
      throw new CryptoError('key', `a ${title} private key lies between 1 and the group order`)
    }
    return ecdh
  }
  const adopt = (pair: KeyPair): crypto.ECDH => {
    const ecdh = withPrivate(pair.privateKey)
    objects.set(pair, ecdh)
    return ecdh
  }
  return {
    publicKeyLength,
    sharedLength: size,
    generate() {
      const ecdh = crypto.createECDH(opensslName)
      ecdh.generateKeys()
      return pairOf(ecdh)
    },
    pair(privateKey) {
      return pairOf(withPrivate(privateKey))
    },
    shared(pair, publicKey) {
      if (publicKey.length !== publicKeyLength || publicKey[0] !== 4)
        throw new CryptoError('length', `a ${title} public key is an uncompressed point of ${publicKeyLength} bytes`)
      const ecdh = objects.get(pair) ?? adopt(pair)
      try {
        return plainView(ecdh.computeSecret(publicKey))
      } catch {
        throw new CryptoError('off-curve', `the public key is no point of ${title}`)
      }
    },
  }
}
