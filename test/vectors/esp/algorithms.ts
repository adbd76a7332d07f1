import { encryption, integrity, nameOf, refusalOf } from '#shared/ikev2/transform.ts'
import { Encryption, Integrity, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Transform } from '#shared/wire/ike-payload/payload.ts'

/** Names of ciphers and MACs as strongSwan, scapy and Wireshark write them, and why one is not ours. */

/** Encryption by any of their names, with the key's length in bytes (without salt) where the name has none. */
export function encryptionNamed(text: string, keyLength: number): Transform | undefined {
  const name = text
    .replace(/^ENCR_/, '')
    .replace(/ \[.*$/, '')
    .replaceAll('_', '-')
    .toUpperCase()
  const bits = Number(/AES-(?:CBC|CTR|GCM|CCM)-(\d+)/.exec(name)?.[1] ?? keyLength * 8)
  const id = encryptionId(name)
  if (id === undefined) return undefined
  const lone = id === Encryption.ChaCha20Poly1305 || id === Encryption.TripleDes || id === Encryption.Null
  return { type: TransformType.Encryption, id, ...(!lone && { keyLength: bits }) }
}

function encryptionId(name: string): number | undefined {
  if (/^(3DES|TRIPLEDES)/.test(name)) return Encryption.TripleDes
  if (/^AES-CBC/.test(name)) return Encryption.AesCbc
  if (/^AES-CTR/.test(name)) return Encryption.AesCtr
  if (/^AES-(NULL-GMAC|GMAC)|^NULL-AUTH-AES-GMAC/.test(name)) return Encryption.NullAuthAesGmac
  if (/^CHACHA20-POLY1305/.test(name)) return Encryption.ChaCha20Poly1305
  if (/^NULL$/.test(name)) return Encryption.Null
  const icv = /ICV(\d+)|WITH (\d+) OCTET/.exec(name)
  const bytes = Number(icv?.[1] ?? icv?.[2] ?? 16)
  const gcm: Readonly<Record<number, number>> = { 8: Encryption.AesGcm8, 12: Encryption.AesGcm12, 16: Encryption.AesGcm16 }
  const ccm: Readonly<Record<number, number>> = { 8: Encryption.AesCcm8, 12: Encryption.AesCcm12, 16: Encryption.AesCcm16 }
  if (/^AES-GCM/.test(name)) return gcm[bytes]
  return /^AES-CCM/.test(name) ? ccm[bytes] : undefined
}

const integrities: readonly (readonly [RegExp, number])[] = [
  [/MD5/, Integrity.HmacMd5_96],
  [/SHA-?1/, Integrity.HmacSha1_96],
  [/SHA-?2.*256.*128|SHA-?256.*128/, Integrity.HmacSha256_128],
  [/SHA-?2.*384.*192|SHA-?384.*192/, Integrity.HmacSha384_192],
  [/SHA-?2.*512.*256|SHA-?512.*256/, Integrity.HmacSha512_256],
  [/XCBC/, Integrity.AesXcbc96],
  [/CMAC/, Integrity.AesCmac96],
]

/** Integrity by any of their names; `none` and NULL are the number 0. */
export function integrityNamed(text: string): Transform | undefined {
  const name = text
    .replace(/ \[.*$/, '')
    .replaceAll('_', '-')
    .toUpperCase()
  if (name === 'NONE' || name === 'NULL' || name === '') return { type: TransformType.Integrity, id: Integrity.None }
  const found = integrities.find(([pattern]) => pattern.test(name))
  return found && { type: TransformType.Integrity, id: found[1] }
}

/** Why ESP of ours has no such pair; undefined where it has. */
export function pairRefusal(cipher: Transform | undefined, mac: Transform | undefined, names: string): string | undefined {
  if (cipher === undefined || mac === undefined) return `${names} is not ours`
  const descriptor = encryption(cipher.id, cipher.keyLength)
  if (descriptor === undefined) return `${nameOf(cipher)} is refused: ${refusalOf(cipher) ?? 'it is not spoken'}`
  if (mac.id === Integrity.None) {
    return descriptor.icvBytes > 0 ? undefined : `${nameOf(cipher)} without integrity is refused: nobody could tell a forgery`
  }
  if (descriptor.icvBytes > 0) return `${nameOf(cipher)} beside an integrity algorithm is refused: it brings its own`
  return integrity(mac.id) === undefined ? `${nameOf(mac)} is refused: ${refusalOf(mac) ?? 'it is not spoken'}` : undefined
}
