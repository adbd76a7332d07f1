import type { Aead, AeadAlgorithm } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { ESP_HEADER_LENGTH } from '#shared/wire/esp.ts'
import { counterNonce, ESP_SALT_LENGTH, fillNonce, headerAad } from './esp-nonce.ts'
import type { EspTransform } from './esp-transform.ts'
import { borrowScratch, returnScratch } from './scratch.ts'

/** Bytes. */
const IV_LENGTH = 8
const ICV_LENGTH = 16
const BODY = ESP_HEADER_LENGTH + IV_LENGTH
const nothing = new Uint8Array(0)

/** AES-GMAC (RFC 4543): integrity without secrecy. GCM over an empty plaintext; header, IV and payload are all authenticated data. */
export class GmacTransform implements EspTransform {
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
    const icv = packet.subarray(length)
    this.#withCovered(packet, length, sequenceHigh, (covered) => this.#aead.seal(nonce, covered, nothing, icv))
    return length + ICV_LENGTH
  }

  open(packet: Uint8Array, sequenceHigh: number, out: Uint8Array): number {
    const length = packet.length - ICV_LENGTH
    if (length < BODY) return DropReason.Malformed
    const nonce = fillNonce(this.#salt, packet)
    const icv = packet.subarray(length)
    const verdict = this.#withCovered(packet, length, sequenceHigh, (covered) => this.#aead.open(nonce, covered, icv, nothing))
    if (verdict < 0) return DropReason.Unauthentic
    out.set(packet.subarray(BODY, length))
    return length - BODY
  }

  wipe(): void {
    this.#aead.wipe()
    this.#salt.fill(0)
  }

  /** What the ICV covers lies in one piece, unless the high word of the sequence number belongs in the middle (RFC 4543 §3.3). */
  #withCovered(packet: Uint8Array, length: number, sequenceHigh: number, use: (covered: Uint8Array) => number): number {
    if (!this.#esn) return use(packet.subarray(0, length))
    const scratch = borrowScratch(length + 4)
    scratch.set(headerAad(packet, sequenceHigh, true))
    scratch.set(packet.subarray(ESP_HEADER_LENGTH, length), ESP_HEADER_LENGTH + 4)
    const result = use(scratch.subarray(0, length + 4))
    returnScratch(scratch)
    return result
  }
}
