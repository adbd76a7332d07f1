import type { Disk } from '#agent/station/ways/fat/disk.ts'

/** Small FAT file systems written by hand, and a plain reader of them: the twin by which `agent/station/ways/fat` is judged. */
export interface CardShape {
  readonly kind: 12 | 16 | 32
  readonly clusters: number
  readonly sectorsPerCluster: number
  /** Of FAT12 and FAT16. */
  readonly rootEntries: number
}

const sector = 512
const reserved = 32

export function formatCard(shape: CardShape, files: Record<string, Uint8Array>): Uint8Array {
  const { kind, clusters, sectorsPerCluster, rootEntries } = shape
  const fatSectors = Math.ceil(((clusters + 2) * kind) / 8 / sector)
  const rootSectors = kind === 32 ? 0 : Math.ceil((rootEntries * 32) / sector)
  const dataSector = reserved + 2 * fatSectors + rootSectors
  const sectors = dataSector + clusters * sectorsPerCluster
  const card = Buffer.alloc(sectors * sector)
  card.set([0xeb, 0x3c, 0x90], 0)
  card.writeUInt16LE(sector, 11)
  card[13] = sectorsPerCluster
  card.writeUInt16LE(reserved, 14)
  card[16] = 2
  card.writeUInt16LE(kind === 32 ? 0 : rootEntries, 17)
  card.writeUInt32LE(sectors, 32)
  card[21] = 0xf8
  if (kind === 32) {
    card.writeUInt32LE(fatSectors, 36)
    card.writeUInt32LE(2, 44)
    card.writeUInt16LE(1, 48)
    card.writeUInt32LE(0x41615252, sector)
    card.writeUInt32LE(0x61417272, sector + 484)
    card.writeUInt16LE(0xaa55, sector + 510)
  } else card.writeUInt16LE(fatSectors, 22)
  card.writeUInt16LE(0xaa55, 510)

  const table: number[] = [0x0fff_fff8, 0x0fff_ffff]
  let next = 2
  const take = (bytes: number): number => {
    const first = next
    const count = Math.max(1, Math.ceil(bytes / (sector * sectorsPerCluster)))
    for (let n = 1; n <= count; n++) table[next++] = n === count ? 0x0fff_ffff : next
    return first
  }
  const rootAt = kind === 32 ? dataSector * sector : (reserved + 2 * fatSectors) * sector
  if (kind === 32) take(1)
  Object.entries(files).forEach(([name, bytes], n) => {
    const at = rootAt + n * 32
    const first = take(bytes.length)
    const [stem = '', extension = ''] = name.split('.')
    card.write(stem.padEnd(8) + extension.padEnd(3), at, 'latin1')
    card[at + 11] = 0x20
    card.writeUInt16LE(first & 0xffff, at + 26)
    card.writeUInt16LE(first >> 16, at + 20)
    card.writeUInt32LE(bytes.length, at + 28)
    card.set(bytes, (dataSector + (first - 2) * sectorsPerCluster) * sector)
  })
  if (kind === 32) card.writeUInt32LE(clusters - (next - 2), sector + 488)
  for (const fat of [reserved, reserved + fatSectors])
    for (const [cluster, value] of table.entries()) putLink(card, fat * sector, kind, cluster, value)
  return card
}

export function putLink(card: Buffer, fat: number, kind: 12 | 16 | 32, cluster: number, value: number): void {
  if (kind === 32) card.writeUInt32LE(value, fat + cluster * 4)
  else if (kind === 16) card.writeUInt16LE(value & 0xffff, fat + cluster * 2)
  else {
    const at = fat + Math.floor(cluster * 1.5)
    const pair = card.readUInt16LE(at)
    card.writeUInt16LE(cluster % 2 ? (pair & 0xf) | ((value & 0xfff) << 4) : (pair & 0xf000) | (value & 0xfff), at)
  }
}

export interface CardLook {
  readonly files: Record<string, Buffer>
  /** Byte ranges of each file's clusters. */
  readonly places: Record<string, [from: number, to: number][]>
  /** Clusters in use that no file has. */
  readonly orphans: number
  readonly free: number
  readonly fatsEqual: boolean
  /** What FSInfo says, undefined where it says that it does not know. */
  readonly freeCount: number | undefined
}

/** Every file by its 8.3 name. Throws where a chain is broken or two files share a cluster. */
export function lookAtCard(bytes: Uint8Array, shape: CardShape): CardLook {
  const card = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const { kind, clusters, sectorsPerCluster, rootEntries } = shape
  const fatLength = Math.ceil(((clusters + 2) * kind) / 8 / sector) * sector
  const fat = reserved * sector
  const rootAt = fat + 2 * fatLength
  const dataAt = rootAt + (kind === 32 ? 0 : Math.ceil((rootEntries * 32) / sector) * sector)
  const clusterLength = sectorsPerCluster * sector
  const end = kind === 32 ? 0x0ffffff8 : kind === 16 ? 0xfff8 : 0xff8
  const link = (cluster: number): number => {
    if (kind === 32) return card.readUInt32LE(fat + cluster * 4) & 0x0fffffff
    if (kind === 16) return card.readUInt16LE(fat + cluster * 2)
    const pair = card.readUInt16LE(fat + Math.floor(cluster * 1.5))
    return cluster % 2 ? pair >> 4 : pair & 0xfff
  }
  const owned = new Set<number>()
  const chainOf = (first: number): number[] => {
    const chain: number[] = []
    for (let cluster = first; cluster < end; cluster = link(cluster)) {
      if (cluster < 2 || cluster >= clusters + 2) throw new Error(`a chain leads to ${cluster}`)
      if (owned.has(cluster)) throw new Error(`cluster ${cluster} has two owners`)
      owned.add(cluster)
      chain.push(cluster)
    }
    return chain
  }
  const place = (cluster: number): number => dataAt + (cluster - 2) * clusterLength
  const root =
    kind === 32
      ? Buffer.concat(chainOf(2).map((cluster) => card.subarray(place(cluster), place(cluster) + clusterLength)))
      : card.subarray(rootAt, rootAt + rootEntries * 32)
  const files: Record<string, Buffer> = {}
  const places: Record<string, [number, number][]> = {}
  for (let at = 0; at < root.length && root[at] !== 0; at += 32) {
    if (root[at] === 0xe5 || root[at + 11] === 0x0f) continue
    const name = `${root.toString('latin1', at, at + 8).trim()}.${root.toString('latin1', at + 8, at + 11).trim()}`
    const chain = chainOf((root.readUInt16LE(at + 20) << 16) | root.readUInt16LE(at + 26))
    if (name in files) throw new Error(`${name} is there twice`)
    places[name] = chain.map((cluster) => [place(cluster), place(cluster) + clusterLength])
    files[name] = Buffer.concat(places[name].map(([from, to]) => card.subarray(from, to))).subarray(0, root.readUInt32LE(at + 28))
    if (files[name].length !== root.readUInt32LE(at + 28)) throw new Error(`${name} is shorter than it says`)
  }
  let [used, free] = [0, 0]
  for (let cluster = 2; cluster < clusters + 2; cluster++) {
    if (link(cluster) === 0) free += 1
    else used += 1
  }
  const count = kind === 32 ? card.readUInt32LE(sector + 488) : 0xffff_ffff
  const fatsEqual = card.subarray(fat, fat + fatLength).equals(card.subarray(fat + fatLength, fat + 2 * fatLength))
  return { files, places, orphans: used - owned.size, free, fatsEqual, freeCount: count === 0xffff_ffff ? undefined : count }
}

/** A card whose power goes after a given number of writes; of those not yet synced, any sectors may have arrived, as the seed says. */
export class CuttableCard implements Disk {
  readonly bytes: Uint8Array
  writes = 0
  readonly #cutAt: number
  #random: number
  #durable: Uint8Array
  #pending: { at: number; bytes: Uint8Array }[] = []

  constructor(bytes: Uint8Array, cutAt = Number.POSITIVE_INFINITY, seed = 1) {
    this.bytes = Uint8Array.from(bytes)
    this.#durable = Uint8Array.from(bytes)
    this.#cutAt = cutAt
    this.#random = seed
  }

  get size(): number {
    return this.bytes.length
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    if (at + length > this.bytes.length) throw new RangeError('beyond the card')
    return this.bytes.slice(at, at + length)
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    if (this.writes >= this.#cutAt) throw new PowerCut()
    this.writes += 1
    this.bytes.set(bytes, at)
    for (let n = 0; n < bytes.length; n += sector) this.#pending.push({ at: at + n, bytes: bytes.slice(n, n + sector) })
  }

  async sync(): Promise<void> {
    this.#durable = Uint8Array.from(this.bytes)
    this.#pending = []
  }

  /** What is on the card after the cut. */
  afterCut(): Uint8Array {
    const left = Uint8Array.from(this.#durable)
    for (const { at, bytes } of this.#pending) {
      this.#random = (Math.imul(this.#random, 1103515245) + 12345) & 0x7fff_ffff
      if (this.#random & 0x10000) left.set(bytes, at)
    }
    return left
  }
}

export class PowerCut extends Error {}
