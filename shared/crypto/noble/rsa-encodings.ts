import { concatBytes, randomBytes } from '@noble/hashes/utils.js'
import { equalPublic } from '#shared/bytes/equal.ts'
import { hashLengths } from '../hash-sizes.ts'
import type { RsaHash } from '../suite.ts'
import { hash as digest } from './digest.ts'

/** The encodings of RFC 8017 §9: what an RSA signature is made over. */

/** DigestInfo up to the digest (RFC 8017 §9.2 note 1). */
const digestInfos: Readonly<Record<RsaHash, Uint8Array>> = {
  sha256: digestInfo(1, 32),
  sha384: digestInfo(2, 48),
  sha512: digestInfo(3, 64),
}

/** SEQUENCE { SEQUENCE { OID 2.16.840.1.101.3.4.2.`arc`, NULL }, OCTET STRING of `length` } without the octets. */
function digestInfo(arc: number, length: number): Uint8Array {
  const oid = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc]
  return Uint8Array.of(0x30, 17 + length, 0x30, 13, 0x06, oid.length, ...oid, 0x05, 0x00, 0x04, length)
}

/** EMSA-PKCS1-v1_5, `size` bytes: 00 01 FF… 00 DigestInfo. Undefined where that is too short. */
export function encodePkcs1(hash: RsaHash, message: Uint8Array, size: number): Uint8Array | undefined {
  const tail = concatBytes(digestInfos[hash], digest(hash, message))
  if (size < tail.length + 11) return undefined
  const out = new Uint8Array(size).fill(0xff)
  out[0] = 0
  out[1] = 1
  out[size - tail.length - 1] = 0
  out.set(tail, size - tail.length)
  return out
}

/** EMSA-PSS of `bits` bits, salt as long as the hash. Undefined where that is too short. */
export function encodePss(hash: RsaHash, message: Uint8Array, bits: number): Uint8Array | undefined {
  const [size, length] = [Math.ceil(bits / 8), hashLengths[hash]]
  if (size < 2 * length + 2) return undefined
  const salt = randomBytes(length)
  const final = saltedHash(hash, message, salt)
  const block = new Uint8Array(size - length - 1)
  block[block.length - length - 1] = 1
  block.set(salt, block.length - length)
  mask(hash, final, block, 8 * size - bits)
  return concatBytes(block, final, Uint8Array.of(0xbc))
}

/** EMSA-PSS-VERIFY (§9.1.2). */
export function verifyPss(hash: RsaHash, message: Uint8Array, encoded: Uint8Array, bits: number): boolean {
  const length = hashLengths[hash]
  const [size, spare] = [encoded.length, 8 * encoded.length - bits]
  if (size < 2 * length + 2 || encoded[size - 1] !== 0xbc) return false
  const block = encoded.slice(0, size - length - 1)
  const final = encoded.subarray(size - length - 1, size - 1)
  if ((block[0] as number) >> (8 - spare) !== 0) return false
  mask(hash, final, block, spare)
  const start = block.length - length - 1
  if (block.subarray(0, start).some((byte) => byte !== 0) || block[start] !== 1) return false
  return equalPublic(saltedHash(hash, message, block.subarray(start + 1)), final)
}

const eightZeros = new Uint8Array(8)

const saltedHash = (hash: RsaHash, message: Uint8Array, salt: Uint8Array): Uint8Array =>
  digest(hash, eightZeros, digest(hash, message), salt)

/** XORs MGF1 of `seed` (§B.2.1) onto `block`, whose first `spare` bits stay zero. */
function mask(hash: RsaHash, seed: Uint8Array, block: Uint8Array, spare: number): void {
  const length = hashLengths[hash]
  for (let at = 0, counter = 0; at < block.length; at += length, counter++) {
    const part = digest(hash, seed, Uint8Array.of(0, 0, counter >> 8, counter))
    for (let i = 0; i < length && at + i < block.length; i++) block[at + i] = (block[at + i] as number) ^ (part[i] as number)
  }
  block[0] = (block[0] as number) & (0xff >> spare)
}
