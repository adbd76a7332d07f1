import crypto from 'node:crypto'
import { toBase64url } from '#shared/bytes/base64.ts'
import { plainView } from '#shared/bytes/view.ts'
import { isUnsafeEd25519Key } from '../ed25519-keys.ts'
import { CryptoError, type DiffieHellman, type KeyPair, type Signer } from '../suite.ts'
import { fromBase64url, importPrivate, importPublic, seededPair } from './jwk.ts'
import { ecdhP256, ecdhP384 } from './nist-ecdh.ts'

/** The imported private half of a pair; dies with it. */
const privateObjects = new WeakMap<KeyPair, crypto.KeyObject>()

function privateObject(pair: KeyPair, jwk: () => crypto.webcrypto.JsonWebKey): crypto.KeyObject {
  let key = privateObjects.get(pair)
  if (key === undefined) {
    try {
      key = importPrivate(jwk())
    } catch {
      throw new CryptoError('key', 'the private key cannot be used')
    }
    privateObjects.set(pair, key)
  }
  return key
}

/** Ed25519 (RFC 8032), pure. */
export const ed25519: Signer = {
  generate() {
    return seededPair(32, (seed) => this.pair(seed))
  },
  pair(privateKey) {
    if (privateKey.length !== 32) throw new CryptoError('length', `an Ed25519 private key has 32 bytes, not ${privateKey.length}`)
    return ed25519Pair(
      importPrivate({ kty: 'OKP', crv: 'Ed25519', x: toBase64url(new Uint8Array(32)), d: toBase64url(privateKey) }),
    )
  },
  sign(pair, message) {
    const jwk = () => ({ kty: 'OKP', crv: 'Ed25519', x: toBase64url(pair.publicKey), d: toBase64url(pair.privateKey) })
    return plainView(crypto.sign(null, message, privateObject(pair, jwk)))
  },
  verify(publicKey, message, signature) {
    if (publicKey.length !== 32 || signature.length !== 64 || isUnsafeEd25519Key(publicKey)) return false
    try {
      const key = importPublic({ kty: 'OKP', crv: 'Ed25519', x: toBase64url(publicKey) })
      return crypto.verify(null, message, key, signature)
    } catch {
      return false
    }
  },
}

function ed25519Pair(key: crypto.KeyObject): KeyPair {
  const jwk = key.export({ format: 'jwk' })
  const pair = { publicKey: fromBase64url(jwk.x as string, 32), privateKey: fromBase64url(jwk.d as string, 32) }
  privateObjects.set(pair, key)
  return pair
}

/** ECDSA (FIPS 186-5); DER signatures are refused by OpenSSL unless they are DER to the byte. */
export const ecdsaP256: Signer = ecdsa('P-256', ecdhP256, 'sha256', 'der')
export const ecdsaP256Raw: Signer = ecdsa('P-256', ecdhP256, 'sha256', 'ieee-p1363')
export const ecdsaP384: Signer = ecdsa('P-384', ecdhP384, 'sha384', 'der')

function ecdsa(crv: 'P-256' | 'P-384', curve: DiffieHellman, digest: string, dsaEncoding: crypto.DSAEncoding): Signer {
  const size = curve.sharedLength
  const publicJwk = (point: Uint8Array) => ({
    kty: 'EC',
    crv,
    x: toBase64url(point.subarray(1, 1 + size)),
    y: toBase64url(point.subarray(1 + size)),
  })
  return {
    generate: () => curve.generate(),
    pair: (privateKey) => curve.pair(privateKey),
    sign(pair, message) {
      const key = privateObject(pair, () => ({ ...publicJwk(pair.publicKey), d: toBase64url(pair.privateKey) }))
      return plainView(crypto.sign(digest, message, { key, dsaEncoding }))
    },
    verify(publicKey, message, signature) {
      if (publicKey.length !== curve.publicKeyLength || publicKey[0] !== 4) return false
      if (dsaEncoding === 'ieee-p1363' && signature.length !== 2 * size) return false
      try {
        return crypto.verify(digest, message, { key: importPublic(publicJwk(publicKey)), dsaEncoding }, signature)
      } catch {
        return false
      }
    },
  }
}
