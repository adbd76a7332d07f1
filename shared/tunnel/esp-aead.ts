import { DropReason } from '#shared/drop-reason.ts'
import { BODY, CounterModeTransform, ICV_LENGTH } from './esp-counter-mode.ts'
import { fillNonce, headerAad } from './esp-nonce.ts'

/**
 * AES-GCM with a 16-byte ICV (RFC 4106) and ChaCha20-Poly1305 (RFC 7634): the nonce is the salt and the 8-byte IV; SPI and sequence
 * number are authenticated beside the ciphertext.
 */
export class AeadTransform extends CounterModeTransform {
  override protect(packet: Uint8Array, length: number, sequenceHigh: number): number {
    const nonce = fillNonce(this.salt, packet)
    const aad = headerAad(packet, sequenceHigh, this.esn)
    const body = packet.subarray(BODY)
    return BODY + this.aead.seal(nonce, aad, body.subarray(0, length - BODY), body)
  }

  override open(packet: Uint8Array, sequenceHigh: number, out: Uint8Array): number {
    if (packet.length < BODY + ICV_LENGTH) return DropReason.Malformed
    const nonce = fillNonce(this.salt, packet)
    const aad = headerAad(packet, sequenceHigh, this.esn)
    const length = this.aead.open(nonce, aad, packet.subarray(BODY), out)
    return length < 0 ? DropReason.Unauthentic : length
  }
}
