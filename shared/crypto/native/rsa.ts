import crypto from 'node:crypto'
import { toBase64url } from '#shared/bytes/base64.ts'
import { plainView } from '#shared/bytes/view.ts'
import { hashLengths } from '../hash-sizes.ts'
import { CryptoError, type RsaHash, type RsaPadding, type RsaPrivateKey, type RsaPublicKey, type RsaSigner } from '../suite.ts'
import { importPrivate, importPublic } from './jwk.ts'

/** OpenSSL's forms of keys, for as long as the keys live. */
const publicObjects = new WeakMap<RsaPublicKey, crypto.KeyObject>()
const privateObjects = new WeakMap<RsaPrivateKey, crypto.KeyObject>()

export const rsa: RsaSigner = {
  sign(key, padding, hash, message) {
    try {
      return plainView(crypto.sign(hash, message, { key: privateObject(key), ...options(padding, hash) }))
    } catch {
      throw new CryptoError('key', 'the private key cannot be used')
    }
  },
  verify(key, padding, hash, message, signature) {
    try {
      return crypto.verify(hash, message, { key: publicObject(key), ...options(padding, hash) }, signature)
    } catch {
      return false
    }
  },
}

function options(padding: RsaPadding, hash: RsaHash): { padding: number; saltLength?: number } {
  if (padding === 'pkcs1') return { padding: crypto.constants.RSA_PKCS1_PADDING }
  return { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: hashLengths[hash] }
}

function publicObject(key: RsaPublicKey): crypto.KeyObject {
  let object = publicObjects.get(key)
  if (object === undefined) {
    object = importPublic({ kty: 'RSA', n: toBase64url(key.modulus), e: toBase64url(key.exponent) })
    publicObjects.set(key, object)
  }
  return object
}

/** The names of RFC 7518 §6.3.2. */
function privateObject(key: RsaPrivateKey): crypto.KeyObject {
  let object = privateObjects.get(key)
  if (object === undefined) {
    object = importPrivate({
      kty: 'RSA',
      n: toBase64url(key.modulus),
      e: toBase64url(key.exponent),
      d: toBase64url(key.privateExponent),
      p: toBase64url(key.prime1),
      q: toBase64url(key.prime2),
      dp: toBase64url(key.exponent1),
      dq: toBase64url(key.exponent2),
      qi: toBase64url(key.coefficient),
    })
    privateObjects.set(key, object)
  }
  return object
}
