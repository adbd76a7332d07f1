/** What the counter-mode transforms of ESP share: IVs that are counters, nonces, and the authenticated header. */
import { writeWord } from '#shared/bytes/word.ts'
import { ESP_HEADER_LENGTH } from '#shared/wire/esp.ts'

/** Bytes: the last ones of the key material (RFC 4106 §8.1). */
export const ESP_SALT_LENGTH = 4

/** One packet is under way at a time. */
const nonce = new Uint8Array(12)
const aad = new Uint8Array(12)
const shortAad = aad.subarray(0, ESP_HEADER_LENGTH)

/** Writes the packet's 64-bit number as its IV, big-endian: unique under a key that numbers each packet once (RFC 4106 §3.1). */
export function counterNonce(packet: Uint8Array, sequenceHigh: number): void {
  writeWord(packet, 8, sequenceHigh)
  packet[12] = packet[4]!
  packet[13] = packet[5]!
  packet[14] = packet[6]!
  packet[15] = packet[7]!
}

/** Salt and the IV that the packet carries: 12 bytes, valid until the next call. */
export function fillNonce(salt: Uint8Array, packet: Uint8Array): Uint8Array {
  for (let i = 0; i < 4; i++) nonce[i] = salt[i]!
  for (let i = 4; i < 12; i++) nonce[i] = packet[i + 4]!
  return nonce
}

/** SPI and sequence number, which has 4 bytes or, with ESN, 8 (RFC 4106 §5): valid until the next call. */
export function headerAad(packet: Uint8Array, sequenceHigh: number, esn: boolean): Uint8Array {
  for (let i = 0; i < 8; i++) aad[i] = packet[i]!
  if (!esn) return shortAad
  for (let i = 8; i < 12; i++) aad[i] = packet[i - 4]!
  writeWord(aad, 4, sequenceHigh)
  return aad
}
