import { createPrivateKey, createPublicKey, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { nativeSuite } from '#shared/crypto/native.ts'
import { createStockRequest } from '#shared/pki/request.ts'
import type { KeyType } from '../key-type.ts'

/**
 * A new private key (PKCS#8 in PEM, which every IPsec implementation reads) and a request (PKCS#10 DER) that proves its possession: the
 * broker certifies it without ever seeing it.
 */
export function makePeerKey(type: KeyType, name: string): { privateKey: string; request: Uint8Array } {
  const { publicKey, privateKey } = generate(type)
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const kind = type === 'rsa3072' ? 'rsa' : type
  const hash = { p256: 'sha256', p384: 'sha384', ed25519: undefined, rsa: 'sha256' }[kind]
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    request: createStockRequest(name, { spki, kind, sign: (body) => sign(hash, body, privateKey) }),
  }
}

/**
 * Curves' keys come from our own provider: in Node 20 a garbage collection may deadlock generateKeyPair of a key that is exported at once.
 * RSA keys the provider does not make.
 */
function generate(type: KeyType): { publicKey: KeyObject; privateKey: KeyObject } {
  if (type === 'rsa3072') return generateKeyPairSync('rsa', { modulusLength: 3_072 })
  const privateKey = createPrivateKey({ key: curveKey(type), format: 'jwk' })
  return { publicKey: createPublicKey(privateKey), privateKey }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

/** A fresh private JSON Web Key (RFC 7518 §6.2, RFC 8037). */
function curveKey(type: 'p256' | 'p384' | 'ed25519'): JsonWebKey {
  if (type === 'ed25519') {
    const { publicKey, privateKey } = nativeSuite.ed25519.generate()
    return { kty: 'OKP', crv: 'Ed25519', x: text(publicKey), d: text(privateKey) }
  }
  const crv = type === 'p256' ? 'P-256' : 'P-384'
  const signer = type === 'p256' ? nativeSuite.ecdsaP256 : nativeSuite.ecdsaP384
  const { publicKey, privateKey } = signer.generate()
  const middle = (1 + publicKey.length) / 2
  return { kty: 'EC', crv, x: text(publicKey.subarray(1, middle)), y: text(publicKey.subarray(middle)), d: text(privateKey) }
}
