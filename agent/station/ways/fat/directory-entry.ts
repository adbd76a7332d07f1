import type { WallTime } from '#shared/time/instant.ts'

/**
 * One entry of a directory, 32 bytes: a file under a name of the 8.3 form, or a piece of a long name (VFAT), which stands before it.
 *
 *   0 name (8, padded with blanks; E5: deleted, 00: the end)   8 extension (3)   11 attributes (0F: long name)
 *   12 case: 08 name, 10 extension in small letters   13 created: tenths (1), time (2), date (2)   18 accessed (2)
 *   20 first cluster, high (2)   22 written: time (2), date (2)   26 first cluster, low (2)   28 size (4)
 */
export interface DirectoryEntry {
  readonly firstCluster: number
  /** Bytes. */
  readonly size: number
}

export const entryLength = 32
export const deletedMark = 0xe5
export const endMark = 0

const longName = 0x0f
const volumeOrFolder = 0x18
const archive = 0x20
const smallLetters = 0x18

/** `adit-id.bin` as 11 bytes; for names of the 8.3 form alone. */
export function shortName(name: string): Uint8Array {
  const [stem = '', extension = ''] = name.toUpperCase().split('.')
  return Buffer.from(stem.padEnd(8) + extension.padEnd(3), 'latin1')
}

/** Whether the entry is of a file, no folder, label or long name, under that 8.3 name. */
export function isFileNamed(entry: Uint8Array, name: Uint8Array): boolean {
  return (entry[11]! & volumeOrFolder) === 0 && Buffer.compare(entry.subarray(0, 11), name) === 0
}

/** Whether the entry is taken by that name for something that is no file. */
export function isOtherNamed(entry: Uint8Array, name: Uint8Array): boolean {
  return entry[11] !== longName && (entry[11]! & 0x10) !== 0 && Buffer.compare(entry.subarray(0, 11), name) === 0
}

/** Whether the entry is a piece of the long name that belongs to that 8.3 name. */
export function isLongNameOf(entry: Uint8Array, name: Uint8Array): boolean {
  if (entry[0] === deletedMark || entry[11] !== longName) return false
  const checksum = name.reduce((sum, byte) => (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff, 0)
  return entry[13] === checksum
}

export function readEntry(entry: Uint8Array): DirectoryEntry {
  const view = new DataView(entry.buffer, entry.byteOffset, entryLength)
  return { firstCluster: (view.getUint16(20, true) << 16) | view.getUint16(26, true), size: view.getUint32(28, true) }
}

export function writeEntry(name: Uint8Array, { firstCluster, size }: DirectoryEntry, at: WallTime): Uint8Array {
  const entry = new Uint8Array(entryLength)
  const view = new DataView(entry.buffer)
  const when = new Date(at)
  const time = (when.getUTCHours() << 11) | (when.getUTCMinutes() << 5) | (when.getUTCSeconds() >> 1)
  const year = Math.min(Math.max(when.getUTCFullYear(), 1980), 2107)
  const date = ((year - 1980) << 9) | ((when.getUTCMonth() + 1) << 5) | when.getUTCDate()
  entry.set(name)
  entry[11] = archive
  entry[12] = smallLetters
  for (const offset of [14, 22]) view.setUint16(offset, time, true)
  for (const offset of [16, 18, 24]) view.setUint16(offset, date, true)
  view.setUint16(20, firstCluster >>> 16, true)
  view.setUint16(26, firstCluster & 0xffff, true)
  view.setUint32(28, size, true)
  return entry
}
