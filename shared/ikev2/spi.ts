import { wordAt } from '#shared/bytes/word.ts'

/** SPIs of IKE SAs: 8 bytes on the wire, bigints here. */
export function ikeSpiBytes(spi: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, spi)
  return bytes
}

/** Undefined where it is none: of another length, or zero. */
export function ikeSpiOf(bytes: Uint8Array): bigint | undefined {
  if (bytes.length !== 8) return undefined
  const spi = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0)
  return spi === 0n ? undefined : spi
}

/** SPIs of Child SAs: 4 bytes on the wire, numbers here. */
export const espSpiBytes = (spi: number): Uint8Array => Uint8Array.of(spi >>> 24, spi >>> 16, spi >>> 8, spi)

export const espSpiOf = (bytes: Uint8Array): number | undefined => (bytes.length === 4 ? wordAt(bytes, 0) >>> 0 : undefined)

export const espSpiText = (spi: number): string => spi.toString(16).padStart(8, '0')
