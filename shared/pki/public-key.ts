import { checkInteger, DerReader, readOctetBits, readWhole, Tag } from '#shared/pki/der.ts'
import { bitString, oid, sequence } from '#shared/pki/der-writer.ts'
import { algorithms } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/** A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 5480, RFC 8410, RFC 4055) of an algorithm that we verify with. */
export type PublicKey =
  /** `point`: uncompressed, 65 or 97 bytes. */
  | { readonly kind: 'p256' | 'p384'; readonly spki: Uint8Array; readonly point: Uint8Array }
  /** `key`: 32 bytes. */
  | { readonly kind: 'ed25519'; readonly spki: Uint8Array; readonly key: Uint8Array }
  /** `bits`: of the modulus; both numbers big-endian, without leading zeros. */
  | {
      readonly kind: 'rsa'
      readonly spki: Uint8Array
      readonly bits: number
      readonly modulus: Uint8Array
      readonly exponent: Uint8Array
    }

/** RSA: 2048 to 8192 bits, whole octets (CA/Browser Forum BR 6.1.5); larger ones only burn time. */
const rsaBits = { least: 2048, most: 8192 }
const pointLengths = { p256: 65, p384: 97 }

/** Throws PkiError `key-unsupported`, `key-weak` or `der-malformed`. Whether the point is on the curve shows when it is used. */
export function parsePublicKey(spki: Uint8Array): PublicKey {
  const outer = new DerReader(spki)
  const body = outer.sequence()
  outer.end()
  const algorithm = body.sequence()
  const name = algorithm.oid()
  const key = readOctetBits(body.content(Tag.BitString))
  body.end()
  if (name === algorithms.ecPublicKey) return parseEc(spki, algorithm, key)
  if (name === algorithms.ed25519) {
    algorithm.end()
    if (key.length !== 32) throw new PkiError('key-unsupported', 'an Ed25519 key that is not 32 bytes')
    return { kind: 'ed25519', spki, key }
  }
  if (name === algorithms.rsaEncryption) {
    if (algorithm.content(Tag.Null).length !== 0) throw new PkiError('key-unsupported', 'RSA parameters other than NULL')
    algorithm.end()
    return parseRsa(spki, key)
  }
  throw new PkiError('key-unsupported', `a key of algorithm ${name}`)
}

function parseEc(spki: Uint8Array, algorithm: DerReader, point: Uint8Array): PublicKey {
  if (algorithm.peek() !== Tag.Oid) throw new PkiError('key-unsupported', 'an elliptic curve that is not given by name')
  const curve = algorithm.oid()
  algorithm.end()
  const kind = curve === algorithms.p256 ? 'p256' : curve === algorithms.p384 ? 'p384' : undefined
  if (kind === undefined) throw new PkiError('key-unsupported', `a key on curve ${curve}; P-256 and P-384 are known`)
  if (point.length !== pointLengths[kind] || point[0] !== 4) {
    throw new PkiError('key-unsupported', 'an elliptic curve point that is not in uncompressed form')
  }
  return { kind, spki, point }
}

function parseRsa(spki: Uint8Array, key: Uint8Array): PublicKey {
  const outer = new DerReader(key)
  const body = outer.sequence()
  outer.end()
  const modulus = checkInteger(body.content(Tag.Integer))
  const exponent = checkInteger(body.content(Tag.Integer))
  body.end()
  const bits = bitLength(modulus)
  if (bits < rsaBits.least) throw new PkiError('key-weak', `an RSA key of ${bits} bits; ${rsaBits.least} are the least`)
  if (bits > rsaBits.most) throw new PkiError('key-unsupported', `an RSA key of ${bits} bits; ${rsaBits.most} are the most`)
  if (bits % 8 !== 0) throw new PkiError('key-unsupported', `an RSA key of ${bits} bits, which are not whole octets`)
  const exponentBits = bitLength(exponent)
  if (exponentBits < 17 || exponentBits > 256 || ((exponent.at(-1) ?? 0) & 1) === 0) {
    throw new PkiError('key-weak', 'an RSA exponent that is even, below 65537 or above 256 bits')
  }
  return { kind: 'rsa', spki, bits, modulus: bare(modulus), exponent: bare(exponent) }
}

/** Bits of a non-negative INTEGER's content; 0 where it is negative. */
function bitLength(content: Uint8Array): number {
  const [first = 0] = content
  if (first >= 0x80) return 0
  const significant = first === 0 ? content.subarray(1) : content
  return significant.length === 0 ? 0 : significant.length * 8 - (Math.clz32(significant[0] ?? 0) - 24)
}

/** A positive INTEGER's content without the zero that keeps its sign. */
const bare = (content: Uint8Array): Uint8Array => (content[0] === 0 ? content.subarray(1) : content)

/** The bits of a key alone, without tag, length and unused bits: what hashes that name a key are taken of. Throws PkiError. */
export function keyBits(spki: Uint8Array): Uint8Array {
  const fields = new DerReader(readWhole(spki, Tag.Sequence))
  fields.next(Tag.Sequence)
  return readOctetBits(fields.content(Tag.BitString))
}

/** SubjectPublicKeyInfo of a P-256 key given as an uncompressed point of 65 bytes. */
export const p256Spki = (point: Uint8Array): Uint8Array =>
  sequence(sequence(oid(algorithms.ecPublicKey), oid(algorithms.p256)), bitString(point))
