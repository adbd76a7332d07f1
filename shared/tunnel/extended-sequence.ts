/**
 * Extended sequence numbers (RFC 4303 §2.2.1, appendix A2): 64 bits are counted, the low 32 travel. The receiver takes the high word
 * that puts the number into its window, or ahead of it by less than 2^32 - window; the ICV, which covers that word, shows whether it
 * took the right one.
 */

/**
 * The high word for the low word that came, given the highest number authenticated so far and how far behind it numbers are still
 * taken (`size`, RFC: W - 1). -1 where the number would lie before the first one. Words are unsigned 32 bits.
 */
export function sequenceHighOf(low: number, highestHigh: number, highestLow: number, size: number): number {
  if (highestLow >= size) return low >= highestLow - size ? highestHigh : highestHigh + 1
  // The window reaches back over the wrap of the low word.
  return low >= highestLow - size + 0x1_0000_0000 ? highestHigh - 1 : highestHigh
}
