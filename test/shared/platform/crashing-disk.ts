import { constants } from 'node:fs'
import { dirname } from 'node:path'
import type { FileFacts, FilePort, FilePortHandle } from '#shared/platform/files.ts'

/**
 * A disk that says what a power cut may leave of it. Files are inodes with a content in memory and the one that was last synced;
 * directories are maps of names with the changes that no sync of the directory has covered yet. `crashStates` gives what the machine
 * may find when it wakes: every unsynced change of names done up to any point, and every unsynced file empty, torn, or whole.
 */
interface Inode {
  content: Uint8Array
  synced: Uint8Array
  mode: number
}

interface Change {
  folder: string
  apply(names: Map<string, Inode>): void
}

export class PowerCut extends Error {}

export class CrashingDisk implements FilePort {
  /** Names that survive any power cut. */
  readonly #durable = new Map<string, Inode>()
  /** Names as the running system sees them. */
  readonly #live = new Map<string, Inode>()
  readonly #folders = new Set<string>()
  #pending: Change[] = []
  /** Operations done; the cut comes before the one of this number. */
  #operations = 0
  readonly cutAt: number

  constructor(cutAt = Number.POSITIVE_INFINITY) {
    this.cutAt = cutAt
  }

  get operations(): number {
    return this.#operations
  }

  /** A file that was there, durably, before the story begins. */
  put(path: string, content: Uint8Array, mode = 0o600): void {
    const inode = { content, synced: content, mode }
    this.#live.set(path, inode)
    this.#durable.set(path, inode)
    this.#folders.add(dirname(path))
  }

  /** Each state that the disk may be found in: name to content. */
  *crashStates(): Iterable<Map<string, Uint8Array>> {
    for (let done = 0; done <= this.#pending.length; done++) {
      const names = new Map(this.#durable)
      for (const change of this.#pending.slice(0, done)) change.apply(names)
      for (const kept of ['synced', 'empty', 'torn', 'whole'] as const) {
        yield new Map([...names].map(([name, inode]) => [name, survive(inode, kept)]))
      }
    }
  }

  async mkdir(path: string, _mode: number): Promise<void> {
    this.#step()
    this.#folders.add(path)
  }

  async open(path: string, flags: number, mode: number): Promise<FilePortHandle> {
    this.#step()
    const found = this.#live.get(path)
    if ((flags & constants.O_CREAT) === 0) {
      if (found === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
      return this.#handle(found)
    }
    if (found !== undefined) throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' })
    const inode: Inode = { content: new Uint8Array(), synced: new Uint8Array(), mode }
    this.#change(dirname(path), (names) => names.set(path, inode))
    return this.#handle(inode)
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step()
    this.#change(dirname(to), (names) => {
      const inode = names.get(from)
      if (inode !== undefined) names.set(to, inode)
      names.delete(from)
    })
  }

  async unlink(path: string): Promise<void> {
    this.#step()
    this.#change(dirname(path), (names) => names.delete(path))
  }

  async lstat(path: string): Promise<FileFacts> {
    this.#step()
    const uid = process.geteuid?.() ?? 0
    if (this.#folders.has(path)) return { kind: 'directory', mode: 0o700, uid, links: 1, size: 0 }
    const inode = this.#live.get(path)
    if (inode === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
    return { kind: 'file', mode: inode.mode, uid, links: 1, size: inode.content.length }
  }

  async syncDirectory(path: string): Promise<void> {
    this.#step()
    for (const change of this.#pending) if (change.folder === path) change.apply(this.#durable)
    this.#pending = this.#pending.filter((change) => change.folder !== path)
  }

  #handle(inode: Inode): FilePortHandle {
    const uid = process.geteuid?.() ?? 0
    return {
      write: async (data) => {
        this.#step()
        inode.content = Uint8Array.from(data)
      },
      chmod: async (mode) => {
        this.#step()
        inode.mode = mode
      },
      sync: async () => {
        this.#step()
        inode.synced = inode.content
      },
      facts: async () => ({ kind: 'file', mode: inode.mode, uid, links: 1, size: inode.content.length }),
      read: async () => inode.content,
      close: async () => this.#step(),
    }
  }

  #change(folder: string, apply: (names: Map<string, Inode>) => void): void {
    apply(this.#live)
    this.#pending.push({ folder, apply })
  }

  #step(): void {
    if (this.#operations >= this.cutAt) throw new PowerCut('power cut')
    this.#operations += 1
  }
}

/** What the medium has of a file: what was synced for certain, and of what was not, anything. */
function survive(inode: Inode, kept: 'synced' | 'empty' | 'torn' | 'whole'): Uint8Array {
  if (inode.content === inode.synced) return inode.synced
  if (kept === 'synced') return inode.synced
  if (kept === 'empty') return new Uint8Array()
  return kept === 'whole' ? inode.content : inode.content.map((octet, i) => (i < inode.content.length / 2 ? octet : 0))
}
