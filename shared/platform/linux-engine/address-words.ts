/** An address as one or four 32-bit integers, each of 4 bytes with the first one lowest: as `PlainPacket` reads them. */
export type AddressWords = readonly number[]

/** Of the address of `width` bytes, 4 or 16, at `bytes[at]`. */
export function addressWords(bytes: Uint8Array, at = 0, width = bytes.length): AddressWords {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return Array.from({ length: width / 4 }, (_, i) => view.getInt32(at + 4 * i, true))
}
