import { constants, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto'
import { toBase64url } from '#shared/bytes/base64.ts'
import { isUnsafeEd25519Key } from '#shared/crypto/ed25519-keys.ts'
import { DerReader, readSmallInteger, Tag } from '#shared/pki/der.ts'
import { algorithms } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { PublicKey } from '#shared/pki/public-key.ts'

/**
 * Signatures on certificates, requests and AUTH payloads. node:crypto verifies (as a provider would: it draws nothing and keeps
 * nothing): it knows every mixture of key and hash that certificates come with, of which the crypto port has those that we sign with.
 */
export interface SignatureAlgorithm {
  /** As in limbo's list: `ECDSA_WITH_SHA256` … */
  readonly name: SignatureName
  readonly key: 'ec' | 'ed25519' | 'rsa'
  readonly hash: 'sha256' | 'sha384' | 'sha512' | undefined
  /** Bytes of salt, for RSASSA-PSS. */
  readonly pssSalt?: number
}

export type SignatureName =
  | 'ECDSA_WITH_SHA256'
  | 'ECDSA_WITH_SHA384'
  | 'ECDSA_WITH_SHA512'
  | 'ED25519'
  | 'RSA_WITH_SHA256'
  | 'RSA_WITH_SHA384'
  | 'RSA_WITH_SHA512'
  | 'RSASSA_PSS'

const known: Record<string, SignatureAlgorithm & { parameters: 'absent' | 'null' }> = {
  [algorithms.ecdsaSha256]: { name: 'ECDSA_WITH_SHA256', key: 'ec', hash: 'sha256', parameters: 'absent' },
  [algorithms.ecdsaSha384]: { name: 'ECDSA_WITH_SHA384', key: 'ec', hash: 'sha384', parameters: 'absent' },
  [algorithms.ecdsaSha512]: { name: 'ECDSA_WITH_SHA512', key: 'ec', hash: 'sha512', parameters: 'absent' },
  [algorithms.ed25519]: { name: 'ED25519', key: 'ed25519', hash: undefined, parameters: 'absent' },
  [algorithms.rsaSha256]: { name: 'RSA_WITH_SHA256', key: 'rsa', hash: 'sha256', parameters: 'null' },
  [algorithms.rsaSha384]: { name: 'RSA_WITH_SHA384', key: 'rsa', hash: 'sha384', parameters: 'null' },
  [algorithms.rsaSha512]: { name: 'RSA_WITH_SHA512', key: 'rsa', hash: 'sha512', parameters: 'null' },
}

const pssHashes: Record<string, { hash: 'sha256' | 'sha384' | 'sha512'; length: number }> = {
  [algorithms.sha256]: { hash: 'sha256', length: 32 },
  [algorithms.sha384]: { hash: 'sha384', length: 48 },
  [algorithms.sha512]: { hash: 'sha512', length: 64 },
}

/** `algorithm`: AlgorithmIdentifier DER. Throws PkiError `algorithm-unsupported`. */
export function parseSignatureAlgorithm(algorithm: Uint8Array): SignatureAlgorithm {
  const outer = new DerReader(algorithm)
  const body = outer.sequence()
  outer.end()
  const name = body.oid()
  if (name === algorithms.rsaPss) return parsePss(body)
  const found = known[name]
  if (found === undefined) throw new PkiError('algorithm-unsupported', `signature algorithm ${name}`)
  if (found.parameters === 'null' && body.content(Tag.Null).length !== 0) {
    throw new PkiError('algorithm-unsupported', 'signature parameters other than NULL')
  }
  body.end()
  return found
}

/**
 * RSASSA-PSS-params (RFC 4055 §3.1). Only the three forms that TLS and CA/Browser Forum allow: one SHA-2 hash for message and MGF1, a
 * salt of that hash's length, trailer 1. The default (SHA-1) and any other salt are refused.
 */
function parsePss(body: DerReader): SignatureAlgorithm {
  const fields = body.sequence()
  body.end()
  const hashName = readHash(new DerReader(fields.content(0xa0)))
  const mgf = new DerReader(fields.content(0xa1)).sequence()
  if (mgf.oid() !== algorithms.mgf1) throw new PkiError('algorithm-unsupported', 'RSASSA-PSS with a mask other than MGF1')
  const maskHash = readHash(mgf)
  const salt = readSmallInteger(new DerReader(fields.content(0xa2)).content(Tag.Integer))
  const trailer = fields.optional(0xa3)
  if (trailer !== undefined && readSmallInteger(new DerReader(trailer.content).content(Tag.Integer)) !== 1) {
    throw new PkiError('algorithm-unsupported', 'RSASSA-PSS with another trailer than 1')
  }
  fields.end()
  const chosen = pssHashes[hashName]
  if (chosen === undefined || maskHash !== hashName || salt !== chosen.length) {
    throw new PkiError('algorithm-unsupported', 'RSASSA-PSS parameters other than SHA-2 with a salt of the same length')
  }
  return { name: 'RSASSA_PSS', key: 'rsa', hash: chosen.hash, pssSalt: salt }
}

function readHash(reader: DerReader): string {
  const algorithm = reader.sequence()
  const name = algorithm.oid()
  if (algorithm.peek() === Tag.Null) algorithm.next(Tag.Null)
  algorithm.end()
  return name
}

/** OpenSSL's form of a key, for as long as the key is held: making it costs as much as a verification. */
const keyObjects = new WeakMap<PublicKey, KeyObject>()

function keyObjectOf(key: PublicKey): KeyObject {
  let object = keyObjects.get(key)
  if (object === undefined) {
    object = createPublicKey({ key: jwkOf(key), format: 'jwk' })
    keyObjects.set(key, object)
  }
  return object
}

/** As a JSON Web Key (RFC 7518 §6, RFC 8037), which OpenSSL takes in a third of the time that SubjectPublicKeyInfo takes. */
function jwkOf(key: PublicKey): JsonWebKey {
  if (key.kind === 'rsa') return { kty: 'RSA', n: toBase64url(key.modulus), e: toBase64url(key.exponent) }
  if (key.kind === 'ed25519') return { kty: 'OKP', crv: 'Ed25519', x: toBase64url(key.key) }
  const middle = (1 + key.point.length) / 2
  const crv = key.kind === 'p256' ? 'P-256' : 'P-384'
  return { kty: 'EC', crv, x: toBase64url(key.point.subarray(1, middle)), y: toBase64url(key.point.subarray(middle)) }
}

/** True where `signature` over `message` is by `key`. Never throws on a stranger's bytes. */
export function verifySignature(
  algorithm: SignatureAlgorithm,
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const kind = key.kind === 'p256' || key.kind === 'p384' ? 'ec' : key.kind
  if (kind !== algorithm.key) return false
  if (key.kind === 'ed25519' && isUnsafeEd25519Key(key.key)) return false
  try {
    const object = keyObjectOf(key)
    if (algorithm.pssSalt === undefined) return verify(algorithm.hash, message, object, signature)
    const padding = constants.RSA_PKCS1_PSS_PADDING
    return verify(algorithm.hash, message, { key: object, padding, saltLength: algorithm.pssSalt }, signature)
  } catch {
    // OpenSSL throws where the point is off the curve or the modulus even: such a key has signed nothing.
    return false
  }
}
