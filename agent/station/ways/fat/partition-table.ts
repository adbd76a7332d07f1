import { crc32 } from '#shared/wire/crc32.ts'
import { cardFault } from './card-fault.ts'
import { type Disk, Partition } from './disk.ts'
import { FatVolume } from './volume.ts'

/**
 * The partitions of a disk: four entries of 16 bytes at 446 of the first sector (MBR: 4 type, 8 first sector, 12 sectors), or, behind one of
 * type EE, a GUID partition table (UEFI 2.10 §5.3: header "EFI PART" in sector 1; entries with type GUID at 0, first LBA at 32, last at 40).
 */
const sectorLength = 512
/** FAT12, FAT16 and FAT32 in their forms, and the EFI system partition. */
const fatTypes = [0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e, 0xef]
const gptType = 0xee
const gptEntryLimit = 1024

/** The first FAT file system of a disk: the disk itself, or a partition of it. Throws `card-refused`. */
export async function findVolume(disk: Disk): Promise<FatVolume> {
  const bare = await FatVolume.open(disk)
  if (bare) return bare
  for (const partition of await partitionsOf(disk)) {
    const volume = await FatVolume.open(partition)
    if (volume) return volume
  }
  throw noFat()
}

async function partitionsOf(disk: Disk): Promise<Partition[]> {
  if (disk.size < 2 * sectorLength) throw noFat()
  const first = await disk.read(0, sectorLength)
  const view = new DataView(first.buffer, first.byteOffset, sectorLength)
  if (view.getUint16(510, true) !== 0xaa55) throw noFat()
  const entries = [446, 462, 478, 494].map((at) => ({
    type: view.getUint8(at + 4),
    first: view.getUint32(at + 8, true),
    count: view.getUint32(at + 12, true),
  }))
  if (entries.some(({ type }) => type === gptType)) return guidPartitions(disk)
  return entries.flatMap(({ type, first, count }) => (fatTypes.includes(type) ? within(disk, first, count) : []))
}

async function guidPartitions(disk: Disk): Promise<Partition[]> {
  const header = await disk.read(sectorLength, sectorLength)
  const view = new DataView(header.buffer, header.byteOffset, sectorLength)
  if (Buffer.from(header.subarray(0, 8)).toString('latin1') !== 'EFI PART') throw badTable()
  const [headerLength, listAt] = [view.getUint32(12, true), Number(view.getBigUint64(72, true)) * sectorLength]
  const [count, length] = [view.getUint32(80, true), view.getUint32(84, true)]
  const plausible =
    headerLength >= 92 && headerLength <= sectorLength && count <= gptEntryLimit && length >= 128 && length <= 4096
  if (!plausible || listAt + count * length > disk.size) throw badTable()
  const checksum = view.getUint32(16, true)
  view.setUint32(16, 0)
  if (crc32(header.subarray(0, headerLength)) !== checksum) throw badTable()
  const list = await disk.read(listAt, count * length)
  if (crc32(list) !== view.getUint32(88, true)) throw badTable()
  const entries = new DataView(list.buffer, list.byteOffset, list.length)
  return Array.from({ length: count }, (_, n) => n * length).flatMap((at) => {
    if (entries.getBigUint64(at, true) === 0n && entries.getBigUint64(at + 8, true) === 0n) return []
    const first = Number(entries.getBigUint64(at + 32, true))
    return within(disk, first, Number(entries.getBigUint64(at + 40, true)) - first + 1)
  })
}

function within(disk: Disk, first: number, count: number): Partition[] {
  if (first < 1 || count < 1 || (first + count) * sectorLength > disk.size) return []
  return [new Partition(disk, first * sectorLength, count * sectorLength)]
}

const noFat = () =>
  cardFault('has no FAT partition', 'Write the image of the operating system to it first, or name the card and no other disk.')

const badTable = () => cardFault('has a damaged partition table', 'Write the image to it anew.')
