/**
 * The Internet checksum (RFC 1071): ones' complement sum of 16-bit words. Sums are kept in little-endian order and unfolded, because
 * the sum is independent of byte order (RFC 1071 §2B) and one 32-bit load then feeds two words.
 */

/**
 * Adds the bytes `from..to` of `view` to `initial`, an odd last byte padded with zero. At most 65,535 bytes, so that the sum of a whole
 * packet stays below 2^32; the result is for `foldChecksum` or a further `sumWords`.
 */
export function sumWords(view: DataView, from: number, to: number, initial = 0): number {
  let sum = (initial & 0xffff) + (initial >>> 16)
  let at = from
  for (const end = to - 15; at < end; at += 16) {
    const a = view.getInt32(at, true)
    const b = view.getInt32(at + 4, true)
    const c = view.getInt32(at + 8, true)
    const d = view.getInt32(at + 12, true)
    sum =
      (sum + (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16) + (c & 0xffff) + (c >>> 16) + (d & 0xffff) + (d >>> 16)) | 0
  }
  for (; at + 1 < to; at += 2) sum = (sum + view.getUint16(at, true)) | 0
  if (at < to) sum = (sum + view.getUint8(at)) | 0
  return sum
}

/** The 16-bit checksum of a sum, to be stored little-endian: `view.setUint16(at, foldChecksum(sum), true)`. 0 verifies. */
export function foldChecksum(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16)
  folded = (folded & 0xffff) + (folded >>> 16)
  return ~folded & 0xffff
}

/** A 16-bit value as it enters a little-endian sum. */
export const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >>> 8)

/** The part of a pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1) that is the same for a whole flow: both addresses and the protocol. */
export function pseudoHeaderSum(source: Uint8Array, destination: Uint8Array, protocol: number): number {
  let sum = swap16(protocol)
  for (let i = 0; i < source.length; i += 2) {
    sum += source[i]! | (source[i + 1]! << 8)
    sum += destination[i]! | (destination[i + 1]! << 8)
  }
  return sum
}
