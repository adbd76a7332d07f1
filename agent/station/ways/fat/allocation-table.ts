import type { FatShape } from './boot-sector.ts'
import { damagedFat } from './card-fault.ts'
import type { Disk } from './disk.ts'

/**
 * The file allocation table: for each cluster the next one of its chain, 0 where it is free. It is held whole in memory (2 MB for 2 GB of
 * clusters of 4 KB), changed there, and written sector by sector to every copy.
 *
 * The copies are written from the last to the first, which is the one that counts: a power cut between them leaves a table in which
 * nothing has happened, and the next try takes the same clusters and makes the copies equal. Within a copy the end of a new chain comes
 * before its beginning, and the beginning of a released one before its end: no chain ever leads to a free cluster.
 */
export class AllocationTable {
  readonly #disk: Disk
  readonly #shape: FatShape
  readonly #bytes: Uint8Array
  readonly #view: DataView
  /** Numbers of sectors that differ from the disk. */
  readonly #changed = new Set<number>()

  private constructor(disk: Disk, shape: FatShape, bytes: Uint8Array) {
    this.#disk = disk
    this.#shape = shape
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  static async read(disk: Disk, shape: FatShape): Promise<AllocationTable> {
    return new AllocationTable(disk, shape, await disk.read(shape.fats[0]!, shape.fatLength))
  }

  /** Entry 1 says so since DOS 7, beside the flag of the boot sector. */
  get dirty(): boolean {
    const { kind } = this.#shape
    return (kind === 32 && (this.#get(1) & 0x0800_0000) === 0) || (kind === 16 && (this.#get(1) & 0x8000) === 0)
  }

  get free(): number {
    let count = 0
    for (let cluster = 2; cluster < this.#shape.clusters + 2; cluster++) if (this.#get(cluster) === 0) count += 1
    return count
  }

  /** The clusters of a chain in order; throws `card-refused` where it loops, or leads out of the table or to a free cluster. */
  chain(first: number): number[] {
    const chain: number[] = []
    const seen = new Set<number>()
    for (let cluster = first; !this.#isEnd(cluster); cluster = this.#get(cluster)) {
      if (cluster < 2 || cluster >= this.#shape.clusters + 2) throw damagedFat(`a chain leads to cluster ${cluster}`)
      if (seen.has(cluster)) throw damagedFat(`the chain of cluster ${first} loops`)
      seen.add(cluster)
      chain.push(cluster)
    }
    return chain
  }

  /** Takes the first `count` free clusters for one chain; undefined where there are not as many. `after`: the end that it continues. */
  allocate(count: number, after?: number): number[] | undefined {
    const taken: number[] = []
    for (let cluster = 2; cluster < this.#shape.clusters + 2 && taken.length < count; cluster++)
      if (this.#get(cluster) === 0) taken.push(cluster)
    if (taken.length < count) return undefined
    for (const [n, cluster] of taken.entries()) this.#set(cluster, taken[n + 1] ?? 0x0fff_ffff)
    if (after !== undefined) this.#set(after, taken[0]!)
    return taken
  }

  release(chain: readonly number[]): void {
    for (const cluster of chain) this.#set(cluster, 0)
  }

  async flush(change: 'allocated' | 'released'): Promise<void> {
    const { bytesPerSector, fats } = this.#shape
    const sectors = [...this.#changed].sort((a, b) => (change === 'allocated' ? b - a : a - b))
    for (const at of [...fats].reverse()) {
      for (const sector of sectors) {
        const from = sector * bytesPerSector
        await this.#disk.write(at + from, this.#bytes.subarray(from, from + bytesPerSector))
        await this.#disk.sync()
      }
    }
    this.#changed.clear()
  }

  #get(cluster: number): number {
    const { kind } = this.#shape
    if (kind === 32) return this.#view.getUint32(cluster * 4, true) & 0x0fff_ffff
    if (kind === 16) return this.#view.getUint16(cluster * 2, true)
    const pair = this.#view.getUint16(cluster + (cluster >> 1), true)
    return cluster & 1 ? pair >> 4 : pair & 0xfff
  }

  #set(cluster: number, value: number): void {
    const { kind } = this.#shape
    if (kind === 32) {
      // The top four bits are not ours.
      const kept = this.#view.getUint32(cluster * 4, true) & 0xf000_0000
      this.#view.setUint32(cluster * 4, (kept | (value & 0x0fff_ffff)) >>> 0, true)
      this.#touch(cluster * 4, 4)
    } else if (kind === 16) {
      this.#view.setUint16(cluster * 2, value & 0xffff, true)
      this.#touch(cluster * 2, 2)
    } else {
      const at = cluster + (cluster >> 1)
      const pair = this.#view.getUint16(at, true)
      this.#view.setUint16(at, cluster & 1 ? (pair & 0xf) | ((value & 0xfff) << 4) : (pair & 0xf000) | (value & 0xfff), true)
      this.#touch(at, 2)
    }
  }

  #touch(at: number, length: number): void {
    const { bytesPerSector } = this.#shape
    this.#changed.add(Math.floor(at / bytesPerSector))
    this.#changed.add(Math.floor((at + length - 1) / bytesPerSector))
  }

  /** The largest eight values of each width end a chain. */
  #isEnd(value: number): boolean {
    const { kind } = this.#shape
    return value >= (kind === 32 ? 0x0fff_fff8 : kind === 16 ? 0xfff8 : 0xff8)
  }
}
