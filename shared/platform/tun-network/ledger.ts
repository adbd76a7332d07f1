import { join } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { readSecret, removeDurably, writeDurably } from '../files.ts'

/**
 * What a run with route = "all" has changed and a kill would leave behind: FOLDER/tun-network.json, on disk before the change is made.
 * That it exists says that rules of ours may be there; which ones, the kernel shows.
 */
export interface LedgerEntry {
  readonly version: 1
  /** The interface. */
  readonly name: string
  /** Where /etc/resolv.conf was, or was about to be, replaced. */
  readonly resolvConf?: ResolvConfBackup
}

export interface ResolvConfBackup {
  readonly path: string
  readonly before: FileState
  /** Every content that we have put there or were about to. */
  readonly ours: readonly string[]
}

/** What is at a path, as far as it can be put back. */
export type FileState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'symlink'; readonly target: string }
  /** `content` in base64; `mode` has the permission bits. */
  | { readonly kind: 'file'; readonly content: string; readonly mode: number; readonly uid: number; readonly gid: number }

export class Ledger {
  readonly #path: string

  constructor(folder: string) {
    this.#path = join(folder, 'tun-network.json')
  }

  async read(): Promise<LedgerEntry | undefined> {
    const bytes = await readSecret(this.#path)
    if (bytes === undefined) return undefined
    let entry: Partial<LedgerEntry> | undefined
    try {
      entry = JSON.parse(Buffer.from(bytes).toString())
    } catch {
      // Told below.
    }
    if (entry?.version === 1 && typeof entry.name === 'string') return entry as LedgerEntry
    const mend = 'Use the version of adit that wrote it; or delete it, after a look at /etc/resolv.conf and at ip rule.'
    throw new AditError('storage-failed', `${this.#path} is not what this version of adit writes.`, mend)
  }

  write(entry: LedgerEntry): Promise<void> {
    return writeDurably(this.#path, JSON.stringify(entry), { mode: 0o600 })
  }

  remove(): Promise<void> {
    return removeDurably(this.#path)
  }
}
