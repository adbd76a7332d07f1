/**
 * ESP (RFC 4303 §2), as it stands in a UDP datagram (RFC 3948 §2.1).
 *
 *   0      4           8
 *   | SPI  | sequence  | IV … | payload, TFC padding | 1 2 3 … | pad length | next header | ICV … |
 *                             '------------------ encrypted --------------------------'
 *
 * Only the low 32 bits of a sequence number travel; with ESN both ends keep the high ones (§2.2.1). IV and ICV belong to the algorithm.
 * Functions on buffers of the caller, for the data lane: no object, nothing thrown. Words are unsigned 32 bits, big-endian.
 */
import { wordAt, writeWord } from '#shared/bytes/word.ts'
import { DropReason } from '#shared/drop-reason.ts'

/** Bytes. */
export const ESP_HEADER_LENGTH = 8
/** Pad length and next header, behind the padding. */
export const ESP_TRAILER_LENGTH = 2

/** What a trailer says of the payload. A packet without a next header is a dummy, to be thrown away (§2.6). */
export const EspNextHeader = { Ipv4: 4, Ipv6: 41, None: 59 } as const

export const espSpiOf = (packet: Uint8Array): number => wordAt(packet, 0) >>> 0

/** The low word. */
export const espSequenceOf = (packet: Uint8Array): number => wordAt(packet, 4) >>> 0

export function putEspHeader(out: Uint8Array, spi: number, sequenceLow: number): void {
  writeWord(out, 0, spi)
  writeWord(out, 4, sequenceLow)
}

/** Bytes of padding, 0..align - 1, with which payload and trailer are a multiple of `align`: a power of two from 4 to 128 (§2.4). */
export const padLengthFor = (payloadLength: number, align: number): number => -(payloadLength + ESP_TRAILER_LENGTH) & (align - 1)

/** Writes padding 1, 2, 3 …, its length and the next header behind a payload that ends at `at`; returns where the trailer ends. */
export function writeTrailer(out: Uint8Array, at: number, padLength: number, nextHeader: number): number {
  for (let i = 1; i <= padLength; i++) out[at++] = i
  out[at++] = padLength
  out[at++] = nextHeader
  return at
}

/**
 * The length of the payload (with TFC padding) of the decrypted `bytes[start..start + length]`, or InnerMalformed where the pad length or a byte of
 * the padding is wrong (§2.4: the receiver should look). Authenticity comes first: this speaks of our peer, not of a stranger.
 */
export function checkTrailer(bytes: Uint8Array, length: number, start = 0): number {
  if (length < ESP_TRAILER_LENGTH) return DropReason.InnerMalformed
  const padLength = bytes[start + length - ESP_TRAILER_LENGTH]!
  const payloadLength = length - ESP_TRAILER_LENGTH - padLength
  if (payloadLength < 0) return DropReason.InnerMalformed
  let wrong = 0
  for (let i = 0; i < padLength; i++) wrong |= bytes[start + payloadLength + i]! ^ (i + 1)
  return wrong === 0 ? payloadLength : DropReason.InnerMalformed
}

/** Of bytes whose trailer `checkTrailer` has found right. */
export const espNextHeaderOf = (bytes: Uint8Array, length: number, start = 0): number => bytes[start + length - 1]!
