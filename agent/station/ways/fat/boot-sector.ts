import { damagedFat } from './card-fault.ts'

/**
 * The boot sector of a FAT file system and its BIOS parameter block (Microsoft, "FAT32 File System Specification" 1.03; ECMA-107).
 *
 *   offset size                              offset size
 *   0      3   jump: EB xx 90 or E9 xx xx    36     4   sectors of a FAT (FAT32)
 *   11     2   bytes a sector                40     2   flags: bit 7 mirroring off, 3..0 active FAT (FAT32)
 *   13     1   sectors a cluster             44     4   cluster of the root directory (FAT32)
 *   14     2   reserved sectors              48     2   sector of FSInfo (FAT32)
 *   16     1   FATs                          37/65  1   bit 0: not cleanly unmounted (FAT16/FAT32; Linux)
 *   17     2   entries of the root directory 510    2   55 AA
 *   19     2   sectors, or 0
 *   22     2   sectors of a FAT (0: FAT32)
 *   32     4   sectors
 */
export interface FatShape {
  readonly kind: 12 | 16 | 32
  readonly bytesPerSector: number
  readonly bytesPerCluster: number
  /** Byte offsets of the FATs; the first one counts where they differ. */
  readonly fats: readonly number[]
  /** Bytes of one FAT. */
  readonly fatLength: number
  /** Byte offset and length of the fixed root directory; of FAT32, its first cluster. */
  readonly root: { readonly at: number; readonly length: number } | { readonly cluster: number }
  /** Byte offset of cluster 2. */
  readonly dataAt: number
  /** Clusters, numbered from 2. */
  readonly clusters: number
  /** Byte offset of FSInfo. */
  readonly fsInfo: number | undefined
  /** Somebody has not unmounted it. */
  readonly dirty: boolean
}

export const bootSectorLength = 512
const entryLength = 32

/** The shape, or undefined where the sector is not that of a FAT file system. `size`: bytes of the partition. Throws `card-refused`. */
export function readBootSector(sector: Uint8Array, size: number): FatShape | undefined {
  const view = new DataView(sector.buffer, sector.byteOffset, bootSectorLength)
  if (!looksLikeFat(view)) return undefined
  const u16 = (at: number): number => view.getUint16(at, true)
  const u32 = (at: number): number => view.getUint32(at, true)
  const bytesPerSector = u16(11)
  const is32 = u16(22) === 0
  const reserved = u16(14)
  const count = view.getUint8(16)
  const fatSectors = is32 ? u32(36) : u16(22)
  const rootEntries = u16(17)
  const sectors = u16(19) || u32(32)
  const rootSectors = Math.ceil((rootEntries * entryLength) / bytesPerSector)
  const dataSector = reserved + count * fatSectors + rootSectors
  const clusters = Math.floor((sectors - dataSector) / view.getUint8(13))
  if (fatSectors === 0 || clusters < 1) throw damagedFat('its boot sector leaves no room for files')
  if (sectors * bytesPerSector > size) throw damagedFat('it is larger than its partition')
  if (!is32 && rootEntries === 0) throw damagedFat('it has no root directory')
  // As Linux decides it: what has no 16-bit size is FAT32, however few clusters it has.
  const kind = is32 ? 32 : clusters > 4084 ? 16 : 12
  const fatLength = fatSectors * bytesPerSector
  if (((clusters + 2) * kind) / 8 > fatLength) throw damagedFat('its table is too short for its clusters')
  if (is32 && (u16(40) & 0x8f) > 0x80) throw damagedFat('its first table is not the one in use')
  const fsInfo = is32 && u16(48) > 0 && u16(48) < reserved ? u16(48) * bytesPerSector : undefined
  return {
    kind,
    bytesPerSector,
    bytesPerCluster: bytesPerSector * view.getUint8(13),
    fats: Array.from({ length: count }, (_, n) => (reserved + n * fatSectors) * bytesPerSector),
    fatLength,
    root: is32
      ? { cluster: u32(44) }
      : { at: (reserved + count * fatSectors) * bytesPerSector, length: rootEntries * entryLength },
    dataAt: dataSector * bytesPerSector,
    clusters,
    fsInfo,
    dirty: (view.getUint8(is32 ? 65 : 37) & 1) !== 0,
  }
}

function looksLikeFat(view: DataView): boolean {
  const jump = view.getUint8(0)
  const bytesPerSector = view.getUint16(11, true)
  const perCluster = view.getUint8(13)
  return (
    view.getUint16(510, true) === 0xaa55 &&
    (jump === 0xe9 || (jump === 0xeb && view.getUint8(2) === 0x90)) &&
    isPowerOfTwo(bytesPerSector) &&
    bytesPerSector >= 512 &&
    bytesPerSector <= 4096 &&
    isPowerOfTwo(perCluster) &&
    view.getUint16(14, true) > 0 &&
    view.getUint8(16) >= 1 &&
    view.getUint8(16) <= 4
  )
}

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0
