import { fromBase64, fromBase64url } from '#shared/bytes/base64.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Fields, isFields } from '../fields.ts'

/** A curve of the port, as each encoding names it. */
export interface NamedCurve {
  /** JWK `crv` (RFC 7518, RFC 8037). */
  readonly crv: 'X25519' | 'P-256' | 'P-384'
  readonly kty: 'OKP' | 'EC'
  /** Bytes of a coordinate or scalar. */
  readonly size: number
  /** The only DER that a SubjectPublicKeyInfo of an uncompressed key of this curve may begin with (RFC 5480, RFC 8410). */
  readonly spkiPrefix: Uint8Array
  /** The same for PKCS#8 v1 (RFC 5958); X25519 only. */
  readonly pkcs8Prefix?: Uint8Array
  diffieHellman(suite: Suite): Suite['x25519']
}

const x25519: NamedCurve = {
  crv: 'X25519',
  kty: 'OKP',
  size: 32,
  spkiPrefix: fromHex('302a300506032b656e032100'),
  pkcs8Prefix: fromHex('302e020100300506032b656e04220420'),
  diffieHellman: (suite) => suite.x25519,
}
const p256: NamedCurve = {
  crv: 'P-256',
  kty: 'EC',
  size: 32,
  spkiPrefix: fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200'),
  diffieHellman: (suite) => suite.ecdhP256,
}
const p384: NamedCurve = {
  crv: 'P-384',
  kty: 'EC',
  size: 48,
  spkiPrefix: fromHex('3076301006072a8648ce3d020106052b81040022036200'),
  diffieHellman: (suite) => suite.ecdhP384,
}

/** By the names that Wycheproof's groups use. */
export const curves: Readonly<Record<string, NamedCurve>> = {
  curve25519: x25519,
  x25519,
  X25519: x25519,
  secp256r1: p256,
  'P-256': p256,
  secp384r1: p384,
  'P-384': p384,
}

/** Undefined means: this encoding is refused before any cryptography sees it. */
export type Decoded = Uint8Array | undefined

export function publicFromDer(curve: NamedCurve, der: Uint8Array): Decoded {
  return afterPrefix(curve.spkiPrefix, der, curve.kty === 'OKP' ? curve.size : 1 + 2 * curve.size)
}

export function privateFromDer(curve: NamedCurve, der: Uint8Array): Decoded {
  return curve.pkcs8Prefix && afterPrefix(curve.pkcs8Prefix, der, curve.size)
}

export function fromPem(pem: string): Decoded {
  const body = /^-----BEGIN [A-Z ]+-----\s([\s\S]+?)-----END [A-Z ]+-----\s*$/.exec(pem)?.[1]
  return attempt(() => (body === undefined ? undefined : fromBase64(body.replaceAll(/\s/g, ''))))
}

export function publicFromJwk(curve: NamedCurve, jwk: unknown): Decoded {
  if (!isFields(jwk) || jwk.kty !== curve.kty || jwk.crv !== curve.crv) return undefined
  const x = coordinate(jwk, 'x', curve.size)
  if (x === undefined || curve.kty === 'OKP') return x
  const y = coordinate(jwk, 'y', curve.size)
  return y && Uint8Array.of(4, ...x, ...y)
}

export function privateFromJwk(curve: NamedCurve, jwk: unknown): Decoded {
  if (!isFields(jwk) || jwk.kty !== curve.kty || jwk.crv !== curve.crv) return undefined
  return coordinate(jwk, 'd', curve.size)
}

/** A big-endian number as exactly `size` bytes: vectors write it with a leading zero byte or without its zeros. */
export function scalar(number: Uint8Array, size: number): Uint8Array {
  const first = number.findIndex((byte) => byte !== 0)
  const digits = first < 0 ? new Uint8Array(0) : number.subarray(first)
  const out = new Uint8Array(Math.max(size, digits.length))
  out.set(digits, out.length - digits.length)
  return out
}

function coordinate(jwk: Fields, name: string, size: number): Decoded {
  const text = jwk[name]
  const bytes = typeof text === 'string' ? attempt(() => fromBase64url(text)) : undefined
  return bytes?.length === size ? bytes : undefined
}

function afterPrefix(prefix: Uint8Array, der: Uint8Array, size: number): Decoded {
  if (der.length !== prefix.length + size || !equalPublic(der.subarray(0, prefix.length), prefix)) return undefined
  return der.subarray(prefix.length)
}

function attempt(decode: () => Decoded): Decoded {
  try {
    return decode()
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
