import crypto from 'node:crypto'
import { bufferView } from '#shared/bytes/view.ts'
import type { KeyPair } from '../suite.ts'

/** Decodes into memory of its own, so that a secret never lies in Node's shared buffer pool. */
export function fromBase64url(text: string, length: number): Uint8Array {
  const out = new Uint8Array(length)
  bufferView(out).write(text, 'base64url')
  return out
}

/**
 * Raw keys enter OpenSSL as JSON Web Keys (RFC 7517, RFC 8037): Node builds those straight from the raw numbers, while DER goes
 * through OpenSSL's decoder search (one sitting, X25519: a public key 15 us as JWK, 179 us as SPKI; a private one 92 us, 1019 us as
 * PKCS#8).
 */
export function importPublic(jwk: crypto.webcrypto.JsonWebKey): crypto.KeyObject {
  return crypto.createPublicKey({ key: jwk as crypto.JsonWebKey, format: 'jwk' })
}

export function importPrivate(jwk: crypto.webcrypto.JsonWebKey): crypto.KeyObject {
  return crypto.createPrivateKey({ key: jwk as crypto.JsonWebKey, format: 'jwk' })
}

/**
 * A new pair of a curve whose private keys are random bytes (RFC 7748 §5, RFC 8032 §5.1.5). Not by generateKeyPairSync: in Node 20 its
 * job and the key share a mutex; where a garbage collection finds the finished job while the key is being exported, the job's
 * destructor waits for the mutex that its own thread holds, and the process hangs for ever.
 */
export function seededPair(length: number, pairOf: (seed: Uint8Array) => KeyPair): KeyPair {
  const seed = crypto.randomFillSync(new Uint8Array(length))
  const pair = pairOf(seed)
  seed.fill(0)
  return pair
}
