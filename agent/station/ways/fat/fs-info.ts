import type { Disk } from './disk.ts'

/** FSInfo of FAT32: 0 "RRaA", 484 "rrAa", 488 free clusters, 492 where to look for the next one; each 4 bytes. FFFFFFFF: not known. */
const length = 512
const unknown = 0xffff_ffff

/**
 * Writes the count of free clusters. `undefined` before the table changes and the true count after: a power cut in between then leaves no
 * wrong count, which others would believe.
 */
export async function writeFreeCount(disk: Disk, at: number | undefined, free: number | undefined): Promise<void> {
  if (at === undefined) return
  const sector = await disk.read(at, length)
  const view = new DataView(sector.buffer, sector.byteOffset, length)
  if (view.getUint32(0, true) !== 0x41615252 || view.getUint32(484, true) !== 0x61417272) return
  const count = free ?? unknown
  if (view.getUint32(488, true) === count) return
  view.setUint32(488, count, true)
  await disk.write(at, sector)
  await disk.sync()
}
