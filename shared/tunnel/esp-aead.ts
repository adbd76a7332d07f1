import type { Aead, AeadAlgorithm } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { ESP_HEADER_LENGTH } from '#shared/wire/esp.ts'
import { counterNonce, ESP_SALT_LENGTH, fillNonce, headerAad } from './esp-nonce.ts'
import type { EspTransform } from './esp-transform.ts'

/** Bytes. */
const IV_LENGTH = 8
const ICV_LENGTH = 16
const BODY = ESP_HEADER_LENGTH + IV_LENGTH

/**
 * AES-GCM with a 16-byte ICV (RFC 4106) and ChaCha20-Poly1305 (RFC 7634): the nonce is the salt and the 8-byte IV; SPI and sequence
 * number are authenticated beside the ciphertext.
 */
export class AeadTransform implements EspTransform {
  readonly ivLength = IV_LENGTH
  readonly blockLength = 4
  readonly icvLength = ICV_LENGTH
  readonly #aead: Aead
  readonly #salt: Uint8Array
  readonly #esn: boolean

  /** `key` ends with the 4 bytes of salt. */
  constructor(algorithm: AeadAlgorithm, key: Uint8Array, esn: boolean) {
    const at = key.length - ESP_SALT_LENGTH
    this.#aead = algorithm.key(key.subarray(0, at))
    this.#salt = key.slice(at)
    this.#esn = esn
  }

  putIv(packet: Uint8Array, sequenceHigh: number): void {
    counterNonce(packet, sequenceHigh)
  }

  protect(packet: Uint8Array, length: number, sequenceHigh: number): number {
    const nonce = fillNonce(this.#salt, packet)
    const aad = headerAad(packet, sequenceHigh, this.#esn)
    const body = packet.subarray(BODY)
    return BODY + this.#aead.seal(nonce, aad, body.subarray(0, length - BODY), body)
  }

  open(packet: Uint8Array, sequenceHigh: number, out: Uint8Array): number {
    if (packet.length < BODY + ICV_LENGTH) return DropReason.Malformed
    const nonce = fillNonce(this.#salt, packet)
    const aad = headerAad(packet, sequenceHigh, this.#esn)
    const length = this.#aead.open(nonce, aad, packet.subarray(BODY), out)
    return length < 0 ? DropReason.Unauthentic : length
  }

  wipe(): void {
    this.#aead.wipe()
    this.#salt.fill(0)
  }
}
