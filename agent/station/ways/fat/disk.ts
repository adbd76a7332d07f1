import { damagedFat } from './card-fault.ts'

/** A card, or a file that is an image of one, as bytes. A test counts the writes and cuts the power between them. */
export interface Disk {
  /** Bytes. */
  readonly size: number
  /** Fresh memory; throws RangeError beyond the end. */
  read(at: number, length: number): Promise<Uint8Array>
  write(at: number, bytes: Uint8Array): Promise<void>
  /** Resolves when all that was written would survive a power cut. */
  sync(): Promise<void>
}

/** The part of a disk that one partition is. Throws `card-refused` for what is not in it. */
export class Partition implements Disk {
  readonly size: number
  readonly #disk: Disk
  readonly #start: number

  constructor(disk: Disk, start: number, size: number) {
    this.#disk = disk
    this.#start = start
    this.size = size
  }

  read(at: number, length: number): Promise<Uint8Array> {
    this.#check(at, length)
    return this.#disk.read(this.#start + at, length)
  }

  write(at: number, bytes: Uint8Array): Promise<void> {
    this.#check(at, bytes.length)
    return this.#disk.write(this.#start + at, bytes)
  }

  sync(): Promise<void> {
    return this.#disk.sync()
  }

  /** What a damaged file system says of itself must never lead into the neighbour. */
  #check(at: number, length: number): void {
    if (at < 0 || at + length > this.size) throw damagedFat(`it leads to byte ${at + length} of ${this.size}`)
  }
}
