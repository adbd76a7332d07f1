import type { Aead, AeadAlgorithm } from '#shared/crypto/suite.ts'
import { ESP_HEADER_LENGTH } from '#shared/wire/esp.ts'
import { counterNonce, ESP_SALT_LENGTH } from './esp-nonce.ts'
import type { EspTransform } from './esp-transform.ts'

/** Bytes. */
const IV_LENGTH = 8
export const ICV_LENGTH = 16
/** Where the payload begins. */
export const BODY = ESP_HEADER_LENGTH + IV_LENGTH

/** A transform over an AEAD whose nonce is the salt and an 8-byte IV that counts (RFC 4106 §3.1): what is secret is the heir's to say. */
export abstract class CounterModeTransform implements EspTransform {
  readonly ivLength = IV_LENGTH
  readonly blockLength = 4
  readonly icvLength = ICV_LENGTH
  protected readonly aead: Aead
  protected readonly salt: Uint8Array
  protected readonly esn: boolean

  /** `key` ends with the 4 bytes of salt. */
  constructor(algorithm: AeadAlgorithm, key: Uint8Array, esn: boolean) {
    const at = key.length - ESP_SALT_LENGTH
    this.aead = algorithm.key(key.subarray(0, at))
    this.salt = key.slice(at)
    this.esn = esn
  }

  putIv(packet: Uint8Array, sequenceHigh: number): void {
    counterNonce(packet, sequenceHigh)
  }

  abstract protect(packet: Uint8Array, length: number, sequenceHigh: number): number

  abstract open(packet: Uint8Array, sequenceHigh: number, out: Uint8Array): number

  wipe(): void {
    this.aead.wipe()
    this.salt.fill(0)
  }
}
