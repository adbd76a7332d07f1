import crypto from 'node:crypto'
import { toBase64url } from '#shared/bytes/base64.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { CryptoError, type DiffieHellman, type KeyPair } from '../suite.ts'
import { fromBase64url, importPrivate, importPublic, seededPair } from './jwk.ts'

const length = 32
/** OpenSSL takes an OKP private key by `d` alone and computes the public half; Node wants the field to be there all the same. */
const anyPublic = toBase64url(new Uint8Array(length))

/** The KeyObject of a pair that was made here, so that a static key is imported once. Dies with its pair. */
const privateObjects = new WeakMap<KeyPair, crypto.KeyObject>()

/** X25519 (RFC 7748). */
export const x25519: DiffieHellman = {
  publicKeyLength: length,
  sharedLength: length,

  generate() {
    return seededPair(length, (seed) => this.pair(seed))
  },

  pair(privateKey) {
    if (privateKey.length !== length)
      throw new CryptoError('length', `an X25519 private key has 32 bytes, not ${privateKey.length}`)
    return pairOf(importPrivate({ kty: 'OKP', crv: 'X25519', x: anyPublic, d: toBase64url(privateKey) }))
  },

  shared(pair, publicKey) {
    if (publicKey.length !== length) throw new CryptoError('length', `an X25519 public key has 32 bytes, not ${publicKey.length}`)
    const key = privateObjects.get(pair) ?? adopt(pair)
    const peer = publicObject(publicKey)
    let secret: Buffer
    try {
      secret = crypto.diffieHellman({ privateKey: key, publicKey: peer })
    } catch {
      // OpenSSL refuses exactly one thing here: an all-zero result (RFC 7748 §6.1).
      throw new CryptoError('low-order', 'the public key has a small order')
    }
    return new Uint8Array(secret.buffer, secret.byteOffset, secret.length)
  },
}

/**
 * The last public key, since handshakes agree twice in a row with the same one (es and ee, or es and ss): an import costs a sixth of
 * an agreement.
 */
const last = { bytes: new Uint8Array(0), object: undefined as crypto.KeyObject | undefined }

function publicObject(publicKey: Uint8Array): crypto.KeyObject {
  if (last.object !== undefined && equalPublic(last.bytes, publicKey)) return last.object
  const object = importPublic({ kty: 'OKP', crv: 'X25519', x: toBase64url(publicKey) })
  last.bytes = Uint8Array.from(publicKey)
  last.object = object
  return object
}

function pairOf(key: crypto.KeyObject): KeyPair {
  const jwk = key.export({ format: 'jwk' })
  const pair = { publicKey: fromBase64url(jwk.x as string, length), privateKey: fromBase64url(jwk.d as string, length) }
  privateObjects.set(pair, key)
  return pair
}

/** A pair that came from elsewhere (a file, another provider). */
function adopt(pair: KeyPair): crypto.KeyObject {
  if (pair.privateKey.length !== length) throw new CryptoError('length', 'an X25519 private key has 32 bytes')
  const key = importPrivate({ kty: 'OKP', crv: 'X25519', x: anyPublic, d: toBase64url(pair.privateKey) })
  privateObjects.set(pair, key)
  return key
}
