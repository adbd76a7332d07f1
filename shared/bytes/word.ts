/** Four bytes in network order, for lanes that make no view; the number is a signed 32-bit one (`>>> 0` makes it unsigned). */
export const wordAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

/** The low 32 bits of `value`, signed or unsigned, in network order. */
export function writeWord(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}
