import type { AeadAlgorithm, DiffieHellman, HashName, Suite } from '#shared/crypto/suite.ts'
import { NoiseError } from './noise-error.ts'
import type { ProtocolName } from './protocol-name.ts'

/** The DH, cipher and hash functions of one protocol (Noise rev 34 §4 and §12), taken from a crypto provider. */
export interface CryptoFunctions {
  /** DHLEN 32. */
  readonly dh: DiffieHellman
  readonly cipher: AeadAlgorithm
  /** Writes the 64-bit nonce the cipher's way into 12 bytes: four zero bytes, then little-endian (ChaChaPoly) or big-endian (AESGCM). */
  nonce(n: bigint, out: DataView): void
  /** HASHLEN, bytes: 32 or 64. */
  readonly hashLength: number
  /** HASH(a || b). */
  hash(a: Uint8Array, b?: Uint8Array): Uint8Array
  /** HMAC-HASH(key, a || b). */
  hmac(key: Uint8Array, a: Uint8Array, b?: Uint8Array): Uint8Array
}

const hashes: Readonly<Record<string, { name: HashName; length: number }>> = {
  SHA256: { name: 'sha256', length: 32 },
  SHA512: { name: 'sha512', length: 64 },
  BLAKE2s: { name: 'blake2s', length: 32 },
  BLAKE2b: { name: 'blake2b', length: 64 },
}

/** Throws NoiseError `name`, naming what this library does not speak. */
export function cryptoFunctions(suite: Suite, name: ProtocolName): CryptoFunctions {
  const hash = Object.hasOwn(hashes, name.hash) ? hashes[name.hash] : undefined
  if (name.dh !== '25519') throw new NoiseError('name', `DH ${name.dh} is not spoken here`)
  if (hash === undefined) throw new NoiseError('name', `hash ${name.hash} is not spoken here`)
  if (name.cipher !== 'ChaChaPoly' && name.cipher !== 'AESGCM')
    throw new NoiseError('name', `cipher ${name.cipher} is not spoken here`)
  const littleEndian = name.cipher === 'ChaChaPoly'
  return {
    dh: suite.x25519,
    cipher: littleEndian ? suite.chacha20poly1305 : suite.aesGcm,
    nonce(n, out) {
      out.setUint32(0, 0)
      out.setBigUint64(4, n, littleEndian)
    },
    hashLength: hash.length,
    // Not by rest parameters: a handshake calls these thirty times, and the arrays would cost as much as a hash.
    hash: (a, b) => (b === undefined ? suite.hash(hash.name, a) : suite.hash(hash.name, a, b)),
    hmac: (key, a, b) => (b === undefined ? suite.hmac(hash.name, key, a) : suite.hmac(hash.name, key, a, b)),
  }
}

const one = Uint8Array.of(1)
const two = Uint8Array.of(2)
const three = Uint8Array.of(3)

/** HKDF of §4.3, one HMAC at a time: temp_key, its first output, and the second, which needs the first. */
export const hkdfExtract = (f: CryptoFunctions, chainingKey: Uint8Array, input: Uint8Array): Uint8Array =>
  f.hmac(chainingKey, input)
export const hkdfFirst = (f: CryptoFunctions, extracted: Uint8Array): Uint8Array => f.hmac(extracted, one)
export const hkdfSecond = (f: CryptoFunctions, extracted: Uint8Array, first: Uint8Array): Uint8Array =>
  f.hmac(extracted, first, two)

/** HKDF of §4.3 with two outputs of HASHLEN bytes. */
export function hkdf2(f: CryptoFunctions, chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const extracted = hkdfExtract(f, chainingKey, input)
  const first = hkdfFirst(f, extracted)
  const second = hkdfSecond(f, extracted, first)
  extracted.fill(0)
  return [first, second]
}

/** HKDF of §4.3 with three outputs of HASHLEN bytes. */
export function hkdf3(f: CryptoFunctions, chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const extracted = hkdfExtract(f, chainingKey, input)
  const first = hkdfFirst(f, extracted)
  const second = hkdfSecond(f, extracted, first)
  const third = f.hmac(extracted, second, three)
  extracted.fill(0)
  return [first, second, third]
}
