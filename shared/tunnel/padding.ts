import { DropReason } from '#shared/drop-reason.ts'
import { PADDING } from './wireguard-constants.ts'

/** Padded to 16 bytes, but not beyond the inner MTU (white paper §5.4.6). */
export const paddedLength = (length: number, mtu: number): number =>
  Math.max(length, Math.min(mtu, Math.ceil(length / PADDING) * PADDING))

/** The length of the IP packet at `bytes[0..]` without the zeros that padded it to `padded`; InnerMalformed where it is none. */
export function innerLength(bytes: Uint8Array, padded: number): number {
  if (padded === 0) return 0
  const version = bytes[0]! >> 4
  if (version === 4 && padded >= 20) {
    const total = (bytes[2]! << 8) | bytes[3]!
    return total >= 20 && total <= padded ? total : DropReason.InnerMalformed
  }
  if (version === 6 && padded >= 40) {
    const total = 40 + ((bytes[4]! << 8) | bytes[5]!)
    return total <= padded ? total : DropReason.InnerMalformed
  }
  return DropReason.InnerMalformed
}
