import { CryptoError, type KeyPair, type RsaPrivateKey, type Suite } from '#shared/crypto/suite.ts'
import { checkInteger, type DerReader, readSmallInteger, Tag } from '#shared/pki/der.ts'
import { algorithms } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { ecPrivateNumber, openPrivateKeyInfo } from '#shared/pki/private-key.ts'

/** A private key made ready to sign with: what a peer verifies with our certificate. */
export type SigningKey =
  | { readonly kind: 'p256' | 'p384' | 'ed25519'; readonly pair: KeyPair }
  | { readonly kind: 'rsa'; readonly key: RsaPrivateKey }
  /** Held by a token: DER, or undefined where it does not sign now. */
  | { readonly kind: 'p256'; readonly signer: { sign(message: Uint8Array): Uint8Array | undefined } }

/** Bytes of the private numbers. */
const lengths = { p256: 32, p384: 48, ed25519: 32 } as const

/** `pkcs8`: PrivateKeyInfo DER (RFC 5958). Throws PkiError, whose message never has a byte of the key. */
export function signingKey(pkcs8: Uint8Array, suite: Suite): SigningKey {
  const { name, algorithm, content } = openPrivateKeyInfo(pkcs8)
  try {
    if (name === algorithms.rsaEncryption) return { kind: 'rsa', key: rsaNumbers(content) }
    if (name === algorithms.ed25519) return pairOf('ed25519', content.content(Tag.OctetString), suite)
    const curve = name === algorithms.ecPublicKey ? algorithm.oid() : undefined
    if (curve === algorithms.p256) return pairOf('p256', ecPrivateNumber(content), suite)
    if (curve === algorithms.p384) return pairOf('p384', ecPrivateNumber(content), suite)
  } catch (error) {
    if (error instanceof CryptoError) throw new PkiError('key-unsupported', `an unusable private key: ${error.message}`)
    throw error
  }
  throw new PkiError('key-unsupported', 'a private key that is neither ECDSA P-256 or P-384, Ed25519 nor RSA')
}

function pairOf(kind: keyof typeof lengths, number: Uint8Array, suite: Suite): SigningKey {
  if (number.length !== lengths[kind]) throw new PkiError('key-unsupported', 'a private key of a wrong length')
  const signer = kind === 'p256' ? suite.ecdsaP256 : kind === 'p384' ? suite.ecdsaP384 : suite.ed25519
  return { kind, pair: signer.pair(Uint8Array.from(number)) }
}

/** RSAPrivateKey of two primes (RFC 8017 appendix A.1.2). */
function rsaNumbers(content: DerReader): RsaPrivateKey {
  const key = content.sequence()
  if (readSmallInteger(key.content(Tag.Integer)) !== 0)
    throw new PkiError('key-unsupported', 'an RSA key of more than two primes')
  const next = (): Uint8Array => {
    const number = checkInteger(key.content(Tag.Integer))
    return Uint8Array.from(number[0] === 0 ? number.subarray(1) : number)
  }
  const [modulus, exponent, privateExponent, prime1, prime2] = [next(), next(), next(), next(), next()]
  const [exponent1, exponent2, coefficient] = [next(), next(), next()]
  key.end()
  return { modulus, exponent, privateExponent, prime1, prime2, exponent1, exponent2, coefficient }
}
