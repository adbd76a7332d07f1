import { damaged } from './backup-header.ts'

/**
 * What is inside the chunks: files one after the other, then the end.
 *
 *   entry: length u32, that many bytes of JSON {path, size}, `size` bytes of content      end: length 0
 */
export interface ArchiveEntry {
  /** Below the data folder: `ca/root.pem`. */
  readonly path: string
  /** Bytes. */
  readonly size: number
}

const longestEntry = 4_096

export function encodeEntry(entry: ArchiveEntry): Uint8Array {
  const text = Buffer.from(JSON.stringify(entry), 'utf8')
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}

export const archiveEnd: Uint8Array = new Uint8Array(4)

/** What a reader does with what it finds. */
export interface ArchiveReader {
  begin(entry: ArchiveEntry): Promise<void>
  content(bytes: Uint8Array): Promise<void>
  end(): Promise<void>
}

/** Takes the plaintext piece by piece, in pieces of any size. */
export class ArchiveParser {
  readonly #reader: ArchiveReader
  #pending: Buffer = Buffer.alloc(0)
  #left: number | undefined
  #isOver = false

  constructor(reader: ArchiveReader) {
    this.#reader = reader
  }

  /** Throws AditError `backup-damaged`. */
  async take(bytes: Uint8Array): Promise<void> {
    this.#pending = this.#pending.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#pending, bytes])
    while (await this.#step());
  }

  finish(): void {
    if (!this.#isOver || this.#pending.length > 0) throw damaged('it ends in the middle of a file')
  }

  async #step(): Promise<boolean> {
    if (this.#left !== undefined) return this.#content(this.#left)
    if (this.#isOver || this.#pending.length < 4) return false
    const length = this.#pending.readUInt32BE(0)
    if (length === 0) {
      this.#isOver = true
      this.#pending = this.#pending.subarray(4)
      return false
    }
    if (length > longestEntry) throw damaged('a name in it is too long')
    if (this.#pending.length < 4 + length) return false
    const entry = readEntry(this.#pending.subarray(4, 4 + length))
    this.#pending = this.#pending.subarray(4 + length)
    await this.#reader.begin(entry)
    this.#left = entry.size
    return true
  }

  async #content(left: number): Promise<boolean> {
    const piece = this.#pending.subarray(0, left)
    if (piece.length > 0) await this.#reader.content(piece)
    this.#pending = this.#pending.subarray(piece.length)
    this.#left = left - piece.length
    if (this.#left > 0) return false
    await this.#reader.end()
    this.#left = undefined
    return true
  }
}

/** A path that leads out of the folder, or to a hidden file, is nothing that we have written. */
function readEntry(text: Uint8Array): ArchiveEntry {
  try {
    const { path, size } = JSON.parse(Buffer.from(text).toString('utf8')) as ArchiveEntry
    const isInside = typeof path === 'string' && path.split('/').every((part) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(part))
    if (isInside && Number.isSafeInteger(size) && size >= 0) return { path, size }
  } catch {
    // Fall through.
  }
  throw damaged('a name in it cannot be used')
}
