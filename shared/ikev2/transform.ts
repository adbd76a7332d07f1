import type { DiffieHellman, HashName, Suite } from '#shared/crypto/suite.ts'
import { barePoints } from '#shared/ikev2/bare-points.ts'
import { findRefused, findRefusedName } from '#shared/ikev2/refused-transforms.ts'
import { Encryption, Esn, Integrity, KeyExchangeMethod, Prf, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Transform } from '#shared/wire/ike-payload/payload.ts'

/**
 * Every transform that we speak, with its sizes, under the names that strongSwan's proposals use (`aes256gcm16-prfsha256-x25519`).
 * Whether one is offered is a matter of policy; what is refused whatever the policy says is in `refused-transforms.ts`.
 */
export type TransformDescriptor =
  | EncryptionDescriptor
  | PrfDescriptor
  | IntegrityDescriptor
  | KeyExchangeDescriptor
  | EsnDescriptor

interface Named {
  readonly id: number
  /** The name that we write. */
  readonly name: string
  /** Other names that are understood. */
  readonly aliases?: readonly string[]
}

/** Sizes in bytes, except `keyLength`. */
export interface EncryptionDescriptor extends Named {
  readonly type: typeof TransformType.Encryption
  /**
   * `aead`: combined mode (RFC 5282, 4106, 7634); `cbc`: with an integrity transform (RFC 3602); `gmac`: integrity without secrecy, a
   * combined mode too (RFC 4543); `null`: nothing, with an integrity transform (RFC 2410). The last two are for ESP only.
   */
  readonly mode: 'aead' | 'cbc' | 'gmac' | 'null'
  /** Bits of the Key Length attribute; undefined: the attribute is absent. */
  readonly keyLength: 128 | 256 | undefined
  /** What KEYMAT and SK_e give the cipher, without the salt. */
  readonly keyBytes: number
  /** Taken from the same material, after the key. */
  readonly saltBytes: 0 | 4
  /** As it stands in the packet. */
  readonly ivBytes: 0 | 8 | 16
  /** Of a combined mode; 0: the integrity transform says it. */
  readonly icvBytes: 0 | 16
  /** Plaintext with its padding is a multiple of this in ESP (RFC 4303 §2.4). */
  readonly alignBytes: 4 | 16
}

export interface PrfDescriptor extends Named {
  readonly type: typeof TransformType.Prf
  readonly hash: HashName
  /** Preferred key and output, bytes. */
  readonly outputBytes: 32 | 48 | 64
}

export interface IntegrityDescriptor extends Named {
  readonly type: typeof TransformType.Integrity
  readonly hash: HashName
  readonly keyBytes: 32 | 48 | 64
  readonly icvBytes: 16 | 24 | 32
}

export interface KeyExchangeDescriptor extends Named {
  readonly type: typeof TransformType.KeyExchange
  /** Bytes of the public value in a KE payload, and of the shared secret. */
  readonly publicBytes: number
  readonly sharedBytes: number
}

export interface EsnDescriptor extends Named {
  readonly type: typeof TransformType.Esn
}

const type = TransformType
const aes = { type: type.Encryption, alignBytes: 4, mode: 'aead' } as const
const gcm = { ...aes, id: Encryption.AesGcm16, saltBytes: 4, ivBytes: 8, icvBytes: 16 } as const
const gmac = { ...gcm, id: Encryption.NullAuthAesGmac, mode: 'gmac' } as const
const cbc = { ...aes, id: Encryption.AesCbc, mode: 'cbc', saltBytes: 0, ivBytes: 16, icvBytes: 0, alignBytes: 16 } as const

export const encryptions: readonly EncryptionDescriptor[] = [
  { ...gcm, name: 'aes256gcm16', aliases: ['aes256gcm', 'aes256gcm128'], keyLength: 256, keyBytes: 32 },
  { ...gcm, name: 'aes128gcm16', aliases: ['aes128gcm', 'aes128gcm128'], keyLength: 128, keyBytes: 16 },
  { ...gcm, id: Encryption.ChaCha20Poly1305, name: 'chacha20poly1305', keyLength: undefined, keyBytes: 32 },
  { ...cbc, name: 'aes256', keyLength: 256, keyBytes: 32 },
  { ...cbc, name: 'aes128', aliases: ['aes'], keyLength: 128, keyBytes: 16 },
  { ...gmac, name: 'aes256gmac', keyLength: 256, keyBytes: 32 },
  { ...gmac, name: 'aes128gmac', keyLength: 128, keyBytes: 16 },
  { ...cbc, id: Encryption.Null, name: 'null', mode: 'null', keyLength: undefined, keyBytes: 0, ivBytes: 0, alignBytes: 4 },
]

export const prfs: readonly PrfDescriptor[] = [
  { type: type.Prf, id: Prf.HmacSha256, name: 'prfsha256', hash: 'sha256', outputBytes: 32 },
  { type: type.Prf, id: Prf.HmacSha384, name: 'prfsha384', hash: 'sha384', outputBytes: 48 },
  { type: type.Prf, id: Prf.HmacSha512, name: 'prfsha512', hash: 'sha512', outputBytes: 64 },
]

const sha256 = { id: Integrity.HmacSha256_128, name: 'sha256', aliases: ['sha2_256'], hash: 'sha256' } as const
const sha384 = { id: Integrity.HmacSha384_192, name: 'sha384', aliases: ['sha2_384'], hash: 'sha384' } as const
const sha512 = { id: Integrity.HmacSha512_256, name: 'sha512', aliases: ['sha2_512'], hash: 'sha512' } as const

/** HMAC-SHA-2, cut to half its length (RFC 4868). */
export const integrities: readonly IntegrityDescriptor[] = [
  { type: type.Integrity, ...sha256, keyBytes: 32, icvBytes: 16 },
  { type: type.Integrity, ...sha384, keyBytes: 48, icvBytes: 24 },
  { type: type.Integrity, ...sha512, keyBytes: 64, icvBytes: 32 },
]

const method = KeyExchangeMethod

/** RFC 8031, RFC 5903, RFC 3526. */
export const keyExchanges: readonly KeyExchangeDescriptor[] = [
  { type: type.KeyExchange, id: method.Curve25519, name: 'x25519', aliases: ['curve25519'], publicBytes: 32, sharedBytes: 32 },
  { type: type.KeyExchange, id: method.EcpP256, name: 'ecp256', publicBytes: 64, sharedBytes: 32 },
  { type: type.KeyExchange, id: method.EcpP384, name: 'ecp384', publicBytes: 96, sharedBytes: 48 },
  { type: type.KeyExchange, id: method.EcpP521, name: 'ecp521', publicBytes: 132, sharedBytes: 66 },
  { type: type.KeyExchange, id: method.Modp2048, name: 'modp2048', publicBytes: 256, sharedBytes: 256 },
  { type: type.KeyExchange, id: method.Modp3072, name: 'modp3072', publicBytes: 384, sharedBytes: 384 },
  { type: type.KeyExchange, id: method.Modp4096, name: 'modp4096', publicBytes: 512, sharedBytes: 512 },
]

export const esns: readonly EsnDescriptor[] = [
  { type: type.Esn, id: Esn.Yes, name: 'esn' },
  { type: type.Esn, id: Esn.No, name: 'noesn' },
]

export const transforms: readonly TransformDescriptor[] = [...encryptions, ...prfs, ...integrities, ...keyExchanges, ...esns]

/** What a transform on the wire is; undefined where it is none that we speak (`refusalOf` says why). */
export function describe(transform: Transform): TransformDescriptor | undefined {
  if (transform.unknownAttribute === true) return undefined
  return transforms.find(
    (one) => one.type === transform.type && one.id === transform.id && keyLengthOf(one) === transform.keyLength,
  )
}

export const encryption = (id: number, keyLength: number | undefined): EncryptionDescriptor | undefined =>
  encryptions.find((one) => one.id === id && one.keyLength === keyLength)
export const prf = (id: number): PrfDescriptor | undefined => prfs.find((one) => one.id === id)
export const integrity = (id: number): IntegrityDescriptor | undefined => integrities.find((one) => one.id === id)
export const keyExchange = (id: number): KeyExchangeDescriptor | undefined => keyExchanges.find((one) => one.id === id)

/** As it goes on the wire. */
export function toTransform(one: TransformDescriptor): Transform {
  const keyLength = keyLengthOf(one)
  return keyLength === undefined ? { type: one.type, id: one.id } : { type: one.type, id: one.id, keyLength }
}

/** By a word of a proposal, in any case of letters. */
export function named(word: string): TransformDescriptor | undefined {
  const wanted = word.toLowerCase()
  return transforms.find((one) => one.name === wanted || one.aliases?.includes(wanted))
}

/** As strongSwan writes it; what nobody knows is written by its numbers (`encr77`). */
export function nameOf(transform: Transform): string {
  const known = describe(transform)?.name ?? findRefused(transform)?.name
  const bits = transform.keyLength === undefined ? '' : `/${transform.keyLength}`
  return known ?? `${typeNames[transform.type] ?? `type${transform.type}-`}${transform.id}${bits}`
}

/** Why this transform is never chosen, as the end of a sentence ("MD5 is broken"); undefined for one that we speak. */
export function refusalOf(transform: Transform): string | undefined {
  if (describe(transform) !== undefined) return undefined
  if (transform.unknownAttribute === true) return 'it carries an attribute that nobody here knows'
  return findRefused(transform)?.reason ?? 'it is not known here'
}

/** The same by a word of a proposal; undefined where the word is not that of a refused transform. */
export const refusalOfName = (word: string): string | undefined => findRefusedName(word)?.reason

/** The key exchange as KE payloads carry it; undefined for a group that we do not speak. */
export function group(id: number, suite: Suite): DiffieHellman | undefined {
  switch (id) {
    case method.Curve25519:
      return suite.x25519
    case method.EcpP256:
      return barePoints(suite.ecdhP256)
    case method.EcpP384:
      return barePoints(suite.ecdhP384)
    case method.EcpP521:
      return barePoints(suite.ecdhP521)
    case method.Modp2048:
    case method.Modp3072:
    case method.Modp4096:
      return suite.modp(id)
    default:
      return undefined
  }
}

const typeNames: Readonly<Record<number, string>> = {
  [type.Encryption]: 'encr',
  [type.Prf]: 'prf',
  [type.Integrity]: 'integ',
  [type.KeyExchange]: 'group',
  [type.Esn]: 'esn',
}

const keyLengthOf = (one: TransformDescriptor): number | undefined => (one.type === type.Encryption ? one.keyLength : undefined)
