import { Encryption, Integrity, KeyExchangeMethod, Prf, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Transform } from '#shared/wire/ike-payload/payload.ts'

/**
 * Transforms that others still offer and that are never chosen here, each with the reason that a person is told (RFC 8247, RFC 9395).
 * `keyLength` undefined: of any length.
 */
export interface RefusedTransform {
  readonly type: number
  readonly id: number
  readonly keyLength?: number
  /** As strongSwan's proposals write it. */
  readonly name: string
  readonly aliases?: readonly string[]
  /** The end of a sentence. */
  readonly reason: string
}

const encryption = { type: TransformType.Encryption }
const prf = { type: TransformType.Prf }
const integrity = { type: TransformType.Integrity }
const method = { type: TransformType.KeyExchange }

const smallBlocks = 'blocks of 64 bits leak after a few gigabytes (Sweet32)'
const md5 = 'MD5 is broken'
const sha1 = 'SHA-1 is broken'
const shortGroup = 'a group this short can be broken by precomputation (Logjam)'
const opaqueGroup = 'nobody can check how its prime was chosen, and it has small subgroups'
const halfway = 'of AES, 128 and 256 bits are spoken'
const counterMode = 'use aes256gcm16 or aes128gcm16'
const shortTag = 'a tag cut below 16 bytes is easier to forge; use a tag of 16'

export const refusedTransforms: readonly RefusedTransform[] = [
  { ...encryption, id: Encryption.Des, name: 'des', reason: 'keys of 56 bits can be searched' },
  { ...encryption, id: Encryption.TripleDes, name: '3des', reason: smallBlocks },
  { ...encryption, id: 5, name: 'idea', reason: smallBlocks },
  { ...encryption, id: 6, name: 'cast128', reason: smallBlocks },
  { ...encryption, id: 7, name: 'blowfish256', aliases: ['blowfish', 'blowfish128', 'blowfish192'], reason: smallBlocks },
  { ...encryption, id: Encryption.AesCbc, keyLength: 192, name: 'aes192', reason: halfway },
  { ...encryption, id: Encryption.AesGcm16, keyLength: 192, name: 'aes192gcm16', aliases: ['aes192gcm'], reason: halfway },
  { ...encryption, id: Encryption.NullAuthAesGmac, keyLength: 192, name: 'aes192gmac', reason: halfway },
  ...lengths(Encryption.AesCtr, 'ctr', counterMode),
  ...lengths(Encryption.AesCcm8, 'ccm8', shortTag),
  ...lengths(Encryption.AesCcm12, 'ccm12', shortTag),
  ...lengths(Encryption.AesCcm16, 'ccm16', counterMode),
  ...lengths(Encryption.AesGcm8, 'gcm8', shortTag),
  ...lengths(Encryption.AesGcm12, 'gcm12', shortTag),
  { ...prf, id: Prf.HmacMd5, name: 'prfmd5', reason: md5 },
  { ...prf, id: Prf.HmacSha1, name: 'prfsha1', reason: sha1 },
  { ...prf, id: Prf.AesXcbc, name: 'prfaesxcbc', reason: 'use prfsha256' },
  { ...prf, id: Prf.AesCmac, name: 'prfaescmac', reason: 'use prfsha256' },
  { ...integrity, id: Integrity.HmacMd5_96, name: 'md5', reason: md5 },
  { ...integrity, id: 6, name: 'md5_128', reason: md5 },
  { ...integrity, id: Integrity.HmacSha1_96, name: 'sha1', aliases: ['sha'], reason: sha1 },
  { ...integrity, id: 7, name: 'sha1_160', reason: sha1 },
  { ...integrity, id: Integrity.AesXcbc96, name: 'aesxcbc', reason: 'use sha256' },
  { ...integrity, id: Integrity.AesCmac96, name: 'aescmac', reason: 'use sha256' },
  { ...method, id: KeyExchangeMethod.Modp768, name: 'modp768', reason: shortGroup },
  { ...method, id: KeyExchangeMethod.Modp1024, name: 'modp1024', reason: shortGroup },
  { ...method, id: KeyExchangeMethod.Modp1536, name: 'modp1536', reason: shortGroup },
  { ...method, id: KeyExchangeMethod.Modp6144, name: 'modp6144', reason: 'it costs a gateway too much; use ecp384' },
  { ...method, id: KeyExchangeMethod.Modp8192, name: 'modp8192', reason: 'it costs a gateway too much; use ecp521' },
  { ...method, id: KeyExchangeMethod.Modp1024s160, name: 'modp1024s160', reason: shortGroup },
  { ...method, id: KeyExchangeMethod.Modp2048s224, name: 'modp2048s224', reason: opaqueGroup },
  { ...method, id: KeyExchangeMethod.Modp2048s256, name: 'modp2048s256', reason: opaqueGroup },
  { ...method, id: 25, name: 'ecp192', reason: 'a curve of 192 bits is too weak' },
  { ...method, id: 26, name: 'ecp224', reason: 'use ecp256' },
  { ...method, id: KeyExchangeMethod.Curve448, name: 'x448', aliases: ['curve448'], reason: 'use x25519 or ecp521' },
]

/** The refused transform that this one is. */
export const findRefused = (transform: Transform): RefusedTransform | undefined =>
  refusedTransforms.find(
    (one) =>
      one.type === transform.type &&
      one.id === transform.id &&
      (one.keyLength === undefined || one.keyLength === transform.keyLength),
  )

/** The same by a word of a proposal. */
export function findRefusedName(word: string): RefusedTransform | undefined {
  const wanted = word.toLowerCase()
  return refusedTransforms.find((one) => one.name === wanted || one.aliases?.includes(wanted))
}

/** The AES modes in all three lengths, as strongSwan names them: aes128ctr, aes192ctr, aes256ctr. */
function lengths(id: number, mode: string, reason: string): RefusedTransform[] {
  return [128, 192, 256].map((keyLength) => ({ ...encryption, id, keyLength, name: `aes${keyLength}${mode}`, reason }))
}
