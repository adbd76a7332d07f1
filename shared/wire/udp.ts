/**
 * The UDP header, RFC 768.
 *
 *  |          Source Port          |       Destination Port        |
 *  |            Length             |           Checksum            |
 */
import { foldChecksum, sumWords, swap16 } from './checksum.ts'

/** Bytes. */
export const UDP_HEADER_LENGTH = 8

/**
 * Whether `view[at..end]` is one whole datagram with a right checksum; `pseudo` is the flow's pseudo-header sum. A zero checksum
 * means "none" over IPv4 and is refused over IPv6 (RFC 8200 §8.1).
 */
export function isUdpDatagram(view: DataView, at: number, end: number, pseudo: number, version: 4 | 6): boolean {
  if (at + UDP_HEADER_LENGTH > end) return false
  const length = view.getUint16(at + 4)
  if (length < UDP_HEADER_LENGTH || at + length > end) return false
  if (view.getUint16(at + 6) === 0) return version === 4
  return foldChecksum(sumWords(view, at, at + length, pseudo + swap16(length))) === 0
}

/** Writes the header before a payload that already lies at `at + 8`, with its checksum. */
export function writeUdpHeader(
  view: DataView,
  at: number,
  sourcePort: number,
  destinationPort: number,
  payloadLength: number,
  pseudo: number,
): void {
  const length = UDP_HEADER_LENGTH + payloadLength
  view.setUint16(at, sourcePort)
  view.setUint16(at + 2, destinationPort)
  view.setUint16(at + 4, length)
  view.setUint16(at + 6, 0)
  const checksum = foldChecksum(sumWords(view, at, at + length, pseudo + swap16(length)))
  // Zero would say "no checksum": its other ones' complement form is sent instead.
  view.setUint16(at + 6, checksum === 0 ? 0xffff : checksum, true)
}
