import { DropReason } from '#shared/drop-reason.ts'
import { ESP_HEADER_LENGTH } from '#shared/wire/esp.ts'
import { BODY, CounterModeTransform, ICV_LENGTH } from './esp-counter-mode.ts'
import { fillNonce, headerAad } from './esp-nonce.ts'
import { borrowScratch, returnScratch } from './scratch.ts'

const nothing = new Uint8Array(0)

/** AES-GMAC (RFC 4543): integrity without secrecy. GCM over an empty plaintext; header, IV and payload are all authenticated data. */
export class GmacTransform extends CounterModeTransform {
  override protect(packet: Uint8Array, length: number, sequenceHigh: number): number {
    const nonce = fillNonce(this.salt, packet)
    const icv = packet.subarray(length)
    this.#withCovered(packet, length, sequenceHigh, (covered) => this.aead.seal(nonce, covered, nothing, icv))
    return length + ICV_LENGTH
  }

  override open(packet: Uint8Array, sequenceHigh: number, out: Uint8Array): number {
    const length = packet.length - ICV_LENGTH
    if (length < BODY) return DropReason.Malformed
    const nonce = fillNonce(this.salt, packet)
    const icv = packet.subarray(length)
    const verdict = this.#withCovered(packet, length, sequenceHigh, (covered) => this.aead.open(nonce, covered, icv, nothing))
    if (verdict < 0) return DropReason.Unauthentic
    out.set(packet.subarray(BODY, length))
    return length - BODY
  }

  /** What the ICV covers lies in one piece, unless the high word of the sequence number belongs in the middle (RFC 4543 §3.3). */
  #withCovered(packet: Uint8Array, length: number, sequenceHigh: number, use: (covered: Uint8Array) => number): number {
    if (!this.esn) return use(packet.subarray(0, length))
    const scratch = borrowScratch(length + 4)
    scratch.set(headerAad(packet, sequenceHigh, true))
    scratch.set(packet.subarray(ESP_HEADER_LENGTH, length), ESP_HEADER_LENGTH + 4)
    const result = use(scratch.subarray(0, length + 4))
    returnScratch(scratch)
    return result
  }
}
