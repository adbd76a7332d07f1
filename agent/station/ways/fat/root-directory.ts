import type { AllocationTable } from './allocation-table.ts'
import type { FatShape } from './boot-sector.ts'
import { cardFault, damagedFat } from './card-fault.ts'
import { deletedMark, endMark, entryLength, isFileNamed, isLongNameOf, isOtherNamed } from './directory-entry.ts'
import type { Disk } from './disk.ts'

/** Entries that a directory of FAT has at most. */
const entryLimit = 65_536

/** The root directory as a list of slots of 32 bytes: of FAT32 a chain of clusters, before that an area of fixed size. */
export class RootDirectory {
  readonly #disk: Disk
  readonly #shape: FatShape
  readonly #table: AllocationTable
  /** Its pieces: byte offset and content. */
  readonly #pieces: { readonly at: number; readonly bytes: Uint8Array }[]

  private constructor(disk: Disk, shape: FatShape, table: AllocationTable, pieces: { at: number; bytes: Uint8Array }[]) {
    this.#disk = disk
    this.#shape = shape
    this.#table = table
    this.#pieces = pieces
  }

  static async read(disk: Disk, shape: FatShape, table: AllocationTable): Promise<RootDirectory> {
    const { root, bytesPerCluster } = shape
    const places =
      'at' in root ? [root] : table.chain(root.cluster).map((cluster) => ({ at: atOf(shape, cluster), length: bytesPerCluster }))
    if (places.length * (places[0]?.length ?? 0) > entryLimit * entryLength) throw damagedFat('its root directory has no end')
    const pieces: { at: number; bytes: Uint8Array }[] = []
    for (const { at, length } of places) pieces.push({ at, bytes: await disk.read(at, length) })
    return new RootDirectory(disk, shape, table, pieces)
  }

  /** The slot of the file with that 8.3 name. Throws `card-refused` where a folder has it. */
  find(name: Uint8Array): { slot: number; entry: Uint8Array } | undefined {
    for (let slot = 0; slot < this.#slots; slot++) {
      const entry = this.#entry(slot)
      if (entry[0] === endMark) return undefined
      if (entry[0] === deletedMark) continue
      if (isFileNamed(entry, name)) return { slot, entry }
      if (isOtherNamed(entry, name)) throw cardFault('has a folder where the bundle goes', 'Remove that folder from the card.')
    }
    return undefined
  }

  /** Makes sure of a slot for a new entry; the directory may grow by a cluster. False where there is no room. */
  async reserve(): Promise<number | undefined> {
    for (let slot = 0; slot < this.#slots; slot++) {
      const mark = this.#entry(slot)[0]
      if (mark === deletedMark) return slot
      if (mark !== endMark) continue
      // What follows the end need not be empty, and would come to life.
      if (slot + 1 < this.#slots && this.#entry(slot + 1)[0] !== endMark) await this.put(slot + 1, new Uint8Array(entryLength))
      return slot
    }
    return this.#grow()
  }

  /** One sector at once: a power cut leaves the old entry or the new one. */
  async put(slot: number, entry: Uint8Array): Promise<void> {
    this.#entry(slot).set(entry)
    await this.#writeSectorOf(slot)
    await this.#disk.sync()
  }

  /** The file's entry first, so that a long name is never left without its file as a name of another's. */
  async remove(slot: number): Promise<void> {
    const name = Uint8Array.from(this.#entry(slot).subarray(0, 11))
    for (let at = slot; at >= 0 && (at === slot || isLongNameOf(this.#entry(at), name)); at--) {
      this.#entry(at)[0] = deletedMark
      await this.#writeSectorOf(at)
    }
    await this.#disk.sync()
  }

  async #grow(): Promise<number | undefined> {
    const { root, bytesPerCluster } = this.#shape
    if ('at' in root || this.#slots >= entryLimit) return undefined
    const [cluster] = this.#table.allocate(1, this.#table.chain(root.cluster).at(-1)) ?? []
    if (cluster === undefined) return undefined
    const piece = { at: atOf(this.#shape, cluster), bytes: new Uint8Array(bytesPerCluster) }
    await this.#disk.write(piece.at, piece.bytes)
    await this.#disk.sync()
    await this.#table.flush('allocated')
    this.#pieces.push(piece)
    return this.#slots - bytesPerCluster / entryLength
  }

  get #slots(): number {
    return this.#pieces.reduce((count, { bytes }) => count + bytes.length / entryLength, 0)
  }

  #entry(slot: number): Uint8Array {
    const { piece, offset } = this.#place(slot)
    return piece.bytes.subarray(offset, offset + entryLength)
  }

  async #writeSectorOf(slot: number): Promise<void> {
    const { piece, offset } = this.#place(slot)
    const from = offset - (offset % this.#shape.bytesPerSector)
    await this.#disk.write(piece.at + from, piece.bytes.subarray(from, from + this.#shape.bytesPerSector))
  }

  #place(slot: number): { piece: { at: number; bytes: Uint8Array }; offset: number } {
    let offset = slot * entryLength
    for (const piece of this.#pieces) {
      if (offset < piece.bytes.length) return { piece, offset }
      offset -= piece.bytes.length
    }
    throw new RangeError(`no slot ${slot}`)
  }
}

/** Byte offset of a cluster. */
export const atOf = ({ dataAt, bytesPerCluster }: FatShape, cluster: number): number => dataAt + (cluster - 2) * bytesPerCluster
