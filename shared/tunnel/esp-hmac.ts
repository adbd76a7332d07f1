import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { BlockCipher, HashName, MacKey, Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { ESP_HEADER_LENGTH } from '#shared/wire/esp.ts'
import type { EspTransform } from './esp-transform.ts'

export interface IntegritySizes {
  readonly hash: HashName
  /** Bytes; the ICV is the digest's first ones. */
  readonly keyLength: number
  readonly icvLength: number
}

/** Encryption without integrity of its own, as it stands beside an HMAC. */
export interface EspCipher {
  readonly ivLength: number
  readonly blockLength: number
  putIv(packet: Uint8Array): void
  /** `from..to` of the packet, in place. */
  encrypt(packet: Uint8Array, from: number, to: number): void
  /** Into `out[0..]`. False where the length is none of the cipher's. */
  decrypt(packet: Uint8Array, from: number, to: number, out: Uint8Array): boolean
  wipe(): void
}

/** Encrypt-then-MAC (RFC 4303 §3.3.2) with a truncated HMAC (RFC 4868). */
export class HmacTransform implements EspTransform {
  readonly icvLength: number
  readonly #cipher: EspCipher
  readonly #mac: MacKey
  /** The high word of the sequence number, which follows what is covered (RFC 4303 §2.2.1), or nothing. */
  readonly #high: Uint8Array

  constructor(suite: Suite, cipher: EspCipher, sizes: IntegritySizes, key: Uint8Array, esn: boolean) {
    if (key.length !== sizes.keyLength) throw new RangeError(`this HMAC key has ${sizes.keyLength} bytes, not ${key.length}`)
    this.icvLength = sizes.icvLength
    this.#cipher = cipher
    this.#mac = suite.hmacKey(sizes.hash, key)
    this.#high = new Uint8Array(esn ? 4 : 0)
  }

  get ivLength(): number {
    return this.#cipher.ivLength
  }

  get blockLength(): number {
    return this.#cipher.blockLength
  }

  putIv(packet: Uint8Array): void {
    this.#cipher.putIv(packet)
  }

  protect(packet: Uint8Array, length: number, sequenceHigh: number): number {
    this.#cipher.encrypt(packet, ESP_HEADER_LENGTH + this.ivLength, length)
    packet.set(this.#icv(packet.subarray(0, length), sequenceHigh), length)
    return length + this.icvLength
  }

  open(packet: Uint8Array, sequenceHigh: number, out: Uint8Array): number {
    const body = ESP_HEADER_LENGTH + this.ivLength
    const length = packet.length - this.icvLength
    if (length < body) return DropReason.Malformed
    if (!equalConstantTime(this.#icv(packet.subarray(0, length), sequenceHigh), packet.subarray(length)))
      return DropReason.Unauthentic
    return this.#cipher.decrypt(packet, body, length, out) ? length - body : DropReason.Malformed
  }

  wipe(): void {
    this.#mac.wipe()
    this.#cipher.wipe()
  }

  #icv(covered: Uint8Array, sequenceHigh: number): Uint8Array {
    const high = this.#high
    for (let i = 0; i < high.length; i++) high[i] = sequenceHigh >>> (24 - 8 * i)
    return this.#mac.mac(covered, high).subarray(0, this.icvLength)
  }
}

/** Bytes. */
const AES_BLOCK = 16
/** IVs drawn at a time: one call for randomness costs as much as it yields. */
const IVS = 32

/** AES-CBC (RFC 3602): its IV must be one that nobody can foresee, hence random. */
export class CbcCipher implements EspCipher {
  readonly ivLength = AES_BLOCK
  readonly blockLength = AES_BLOCK
  readonly #suite: Suite
  readonly #aes: BlockCipher
  #ivs: Uint8Array = new Uint8Array(0)
  #next = 0

  constructor(suite: Suite, key: Uint8Array) {
    this.#suite = suite
    this.#aes = suite.aesCbc.key(key)
  }

  putIv(packet: Uint8Array): void {
    if (this.#next === this.#ivs.length) {
      this.#ivs = this.#suite.random(IVS * AES_BLOCK)
      this.#next = 0
    }
    for (let i = 0; i < AES_BLOCK; i++) packet[ESP_HEADER_LENGTH + i] = this.#ivs[this.#next + i]!
    this.#next += AES_BLOCK
  }

  encrypt(packet: Uint8Array, from: number, to: number): void {
    const body = packet.subarray(from, to)
    this.#aes.encrypt(packet.subarray(ESP_HEADER_LENGTH, from), body, body)
  }

  decrypt(packet: Uint8Array, from: number, to: number, out: Uint8Array): boolean {
    if (to === from || (to - from) % AES_BLOCK !== 0) return false
    this.#aes.decrypt(packet.subarray(ESP_HEADER_LENGTH, from), packet.subarray(from, to), out)
    return true
  }

  wipe(): void {
    this.#aes.wipe()
    this.#ivs.fill(0)
  }
}

/** No secrecy (RFC 2410). */
export class NullCipher implements EspCipher {
  readonly ivLength = 0
  readonly blockLength = 4

  putIv(): void {}

  encrypt(): void {}

  decrypt(packet: Uint8Array, from: number, to: number, out: Uint8Array): boolean {
    out.set(packet.subarray(from, to))
    return true
  }

  wipe(): void {}
}
