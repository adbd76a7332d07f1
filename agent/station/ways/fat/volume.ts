import { AditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { AllocationTable } from './allocation-table.ts'
import { bootSectorLength, type FatShape, readBootSector } from './boot-sector.ts'
import { cardFault } from './card-fault.ts'
import { type DirectoryEntry, readEntry, shortName, writeEntry } from './directory-entry.ts'
import { type Disk, Partition } from './disk.ts'
import { writeFreeCount } from './fs-info.ts'
import { atOf, RootDirectory } from './root-directory.ts'

/**
 * A FAT12, FAT16 or FAT32 file system in which one file of the root directory is read and written, and nothing else touched.
 *
 * A new file comes about in this order, each step on the disk before the next: zeros in free clusters, the table, the directory entry, the
 * content. Secrets are thus never in a cluster that no name leads to, and never where another file's old content could pass for them; a
 * file that a power cut left half-written is noticed by its reader, and is of the size that the next try writes into its very place.
 */
export class FatVolume {
  readonly #disk: Disk
  readonly #shape: FatShape
  readonly #table: AllocationTable
  readonly #root: RootDirectory

  private constructor(disk: Disk, shape: FatShape, table: AllocationTable, root: RootDirectory) {
    this.#disk = disk
    this.#shape = shape
    this.#table = table
    this.#root = root
  }

  /** Undefined where there is no FAT file system. Throws `card-refused` where it is damaged, or was not unmounted. */
  static async open(whole: Disk): Promise<FatVolume | undefined> {
    if (whole.size < bootSectorLength) return undefined
    const disk = new Partition(whole, 0, whole.size)
    const shape = readBootSector(await disk.read(0, bootSectorLength), disk.size)
    if (shape === undefined) return undefined
    const table = await AllocationTable.read(disk, shape)
    if (shape.dirty || table.dirty) throw notClean()
    return new FatVolume(disk, shape, table, await RootDirectory.read(disk, shape, table))
  }

  /** The content of a file of at most `limit` bytes, or undefined where there is none. */
  async read(name: string, limit: number): Promise<Uint8Array | undefined> {
    const found = this.#root.find(shortName(name))
    if (found === undefined) return undefined
    const { size, firstCluster } = readEntry(found.entry)
    if (size > limit) return undefined
    const bytes = new Uint8Array(size)
    const chain = size === 0 ? [] : this.#table.chain(firstCluster)
    const { bytesPerCluster } = this.#shape
    for (let n = 0; n * bytesPerCluster < size; n++) {
      const cluster = chain[n]
      if (cluster === undefined) throw cardFault('has a file that is shorter than it says', 'Repair it with fsck.fat -a.')
      const length = Math.min(bytesPerCluster, size - n * bytesPerCluster)
      bytes.set(await this.#disk.read(atOf(this.#shape, cluster), length), n * bytesPerCluster)
    }
    return bytes
  }

  /** Throws AditError `disk-full`, with nothing changed. `onProgress`: 0 to 1. */
  async write(name: string, bytes: Uint8Array, at: WallTime, onProgress: (part: number) => void = () => {}): Promise<void> {
    const short = shortName(name)
    const found = this.#root.find(short)
    const entry = found && readEntry(found.entry)
    if (entry && this.#fits(entry, bytes.length)) return this.#fill(this.#table.chain(entry.firstCluster), bytes, onProgress)
    const count = this.#clustersOf(bytes.length)
    const releasable = entry === undefined || entry.firstCluster === 0 ? [] : this.#table.chain(entry.firstCluster)
    // One more where the directory grows: then nothing is begun that cannot be ended.
    if (this.#table.free + releasable.length < count + 1) throw full()
    await writeFreeCount(this.#disk, this.#shape.fsInfo, undefined)
    if (found) await this.#remove(found.slot, releasable)
    await this.#create(short, bytes, at, onProgress)
    await writeFreeCount(this.#disk, this.#shape.fsInfo, this.#table.free)
  }

  async #create(name: Uint8Array, bytes: Uint8Array, at: WallTime, onProgress: (part: number) => void): Promise<void> {
    const slot = await this.#root.reserve()
    const chain = slot === undefined ? undefined : this.#table.allocate(this.#clustersOf(bytes.length))
    if (slot === undefined || chain === undefined) throw full()
    await this.#fill(chain, new Uint8Array(chain.length * this.#shape.bytesPerCluster))
    await this.#table.flush('allocated')
    await this.#root.put(slot, writeEntry(name, { firstCluster: chain[0]!, size: bytes.length }, at))
    await this.#fill(chain, bytes, onProgress)
  }

  /** A file of another size is nothing of ours, or of another version: it goes as if it had held secrets. */
  async #remove(slot: number, chain: readonly number[]): Promise<void> {
    await this.#fill(chain, new Uint8Array(chain.length * this.#shape.bytesPerCluster))
    await this.#root.remove(slot)
    this.#table.release(chain)
    await this.#table.flush('released')
  }

  async #fill(chain: readonly number[], bytes: Uint8Array, onProgress: (part: number) => void = () => {}): Promise<void> {
    const { bytesPerCluster } = this.#shape
    for (let n = 0; n < chain.length; n++) {
      const piece = bytes.subarray(n * bytesPerCluster, (n + 1) * bytesPerCluster)
      if (piece.length > 0) await this.#disk.write(atOf(this.#shape, chain[n]!), piece)
      onProgress((n + 1) / chain.length)
    }
    await this.#disk.sync()
  }

  #fits({ firstCluster, size }: DirectoryEntry, length: number): boolean {
    return size === length && this.#table.chain(firstCluster).length === this.#clustersOf(length)
  }

  #clustersOf = (length: number): number => Math.ceil(length / this.#shape.bytesPerCluster)
}

const notClean = (): AditError =>
  cardFault('was not unmounted after its last use', 'Run fsck.fat -a on its FAT partition, then try again.')

const full = (): AditError =>
  new AditError(
    'disk-full',
    'No room is left on the FAT partition of this card.',
    'Remove a file from it, or use an image with more room.',
  )
