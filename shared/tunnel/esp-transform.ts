/**
 * The cryptography of one direction of an ESP security association (RFC 4303), on buffers that stay their owners':
 *
 *   0     4          8        8 + ivLength                                            end - icvLength
 *   | SPI | sequence | IV ... | payload, TFC padding, padding 1 2 3 …, length, next header | ICV ... |
 *
 * Payload and trailer are a multiple of `blockLength` bytes. The ICV covers everything before it and, with 64-bit sequence numbers, the
 * high word too, which is never sent (§2.2.1). One file per construction: esp-aead.ts, esp-gmac.ts, esp-hmac.ts.
 */
import type { Suite } from '#shared/crypto/suite.ts'
import type { EspAlgorithms, EspKeys } from '#shared/ikev2/ike-output.ts'
import { Encryption, Integrity } from '#shared/wire/ike-numbers.ts'
import { AeadTransform } from './esp-aead.ts'
import { GmacTransform } from './esp-gmac.ts'
import { CbcCipher, type EspCipher, HmacTransform, type IntegritySizes, NullCipher } from './esp-hmac.ts'

export interface EspTransform {
  /** Bytes between header and payload: 8 (counter), 16 (CBC) or 0. */
  readonly ivLength: number
  /** Payload and trailer together are a multiple of this: 4, or the cipher's block of 16. */
  readonly blockLength: number
  /** Bytes after them. */
  readonly icvLength: number

  /**
   * Writes the IV of the packet whose header stands at `packet[0..8]`, never one of before under this key: a counter's, or random.
   * `sequenceHigh`: the high word of the 64-bit counter of packets, sent or not.
   */
  putIv(packet: Uint8Array, sequenceHigh: number): void

  /** Seals `packet[0..length]` in place, header, IV, payload and trailer being there; returns the length with the ICV. */
  protect(packet: Uint8Array, length: number, sequenceHigh: number): number

  /**
   * Authenticates `packet` and writes payload and trailer at `out[0..]`; returns their length, or a negative DropReason, and then `out`
   * is undefined. `out` has at least `packet.length` bytes.
   */
  open(packet: Uint8Array, sequenceHigh: number, out: Uint8Array): number

  /** Forgets the keys as far as the provider can. */
  wipe(): void
}

/** The transform of what was negotiated. The keys remain the caller's, to wipe. Throws RangeError for what is no algorithm of ours. */
export function espTransform(suite: Suite, algorithms: EspAlgorithms, keys: EspKeys, esn: boolean): EspTransform {
  const { encryption } = algorithms
  if (encryption === Encryption.AesGcm16) return new AeadTransform(suite.aesGcm, keys.encryption, esn)
  if (encryption === Encryption.ChaCha20Poly1305) return new AeadTransform(suite.chacha20poly1305, keys.encryption, esn)
  if (encryption === Encryption.NullAuthAesGmac) return new GmacTransform(suite.aesGcm, keys.encryption, esn)
  return new HmacTransform(
    suite,
    cipherOf(suite, encryption, keys.encryption),
    sizesOf(algorithms.integrity),
    keys.integrity,
    esn,
  )
}

function cipherOf(suite: Suite, encryption: number, key: Uint8Array): EspCipher {
  if (encryption === Encryption.AesCbc) return new CbcCipher(suite, key)
  if (encryption === Encryption.Null) return new NullCipher()
  throw new RangeError(`no ESP cipher of ours has the number ${encryption}`)
}

/** RFC 4868 §2.6: half of the digest is sent, and the key is as long as the digest. */
const integrities: Readonly<Record<number, IntegritySizes>> = {
  [Integrity.HmacSha256_128]: { hash: 'sha256', keyLength: 32, icvLength: 16 },
  [Integrity.HmacSha384_192]: { hash: 'sha384', keyLength: 48, icvLength: 24 },
  [Integrity.HmacSha512_256]: { hash: 'sha512', keyLength: 64, icvLength: 32 },
}

function sizesOf(integrity: number): IntegritySizes {
  const sizes = integrities[integrity]
  if (sizes === undefined) throw new RangeError(`no ESP integrity algorithm of ours has the number ${integrity}`)
  return sizes
}
