import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { makePrivateDirectory, storageError, syncDirectory, writeDurably } from '#shared/platform/files.ts'
import type { ArchiveReader } from '../archive-entry.ts'
import type { BackupHeader } from '../backup-header.ts'
import { type RestoredNote, restoredName } from '../incarnation.ts'
import type { OpenBackup } from './read-backup.ts'

export interface Restored {
  readonly files: number
  readonly bytes: number
  readonly header: BackupHeader
}

/** Reads a backup to its end, and writes nothing. */
export async function checkBackup(backup: OpenBackup): Promise<Restored> {
  let files = 0
  let bytes = 0
  await backup.walk({
    async begin(entry) {
      files++
      bytes += entry.size
    },
    async content() {},
    async end() {},
  })
  return { files, bytes, header: backup.header }
}

/**
 * Makes the data folder out of a backup: verified whole before anything is written, written whole beside the folder's name, and given that
 * name at once, so that a power cut leaves the folder or none. `dataDir` must be empty or not there. Throws AditError `usage`.
 */
export async function restoreBackup(backup: OpenBackup, dataDir: string, now: number, suite: Suite): Promise<Restored> {
  const target = resolve(dataDir)
  await requireEmpty(target)
  const checked = await checkBackup(backup)
  await makeParent(dirname(target))
  const draft = join(dirname(target), `.${basename(target)}.${toHex(suite.random(4))}.restoring`)
  try {
    await mkdir(draft, { mode: 0o700 })
    await backup.walk(new FolderWriter(draft))
    const { id, epoch } = backup.header.incarnation
    const note: RestoredNote = {
      incarnation: { id: toHex(suite.random(16)), epoch: epoch + 1 },
      from: { id, epoch },
      made: backup.header.made,
      restored: now,
    }
    await writeDurably(join(draft, restoredName), `${JSON.stringify(note)}\n`)
    await syncDirectory(draft)
    // An empty folder of that name gives way; one that has been filled meanwhile does not.
    await rename(draft, target)
    await syncDirectory(dirname(target))
    return checked
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw storageError(error, 'write', target)
  }
}

async function requireEmpty(path: string): Promise<void> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw storageError(error, 'read', path)
  })
  if (names.length === 0) return
  throw new AditError(
    'usage',
    `${path} is not empty.`,
    'Restore into a folder that is empty or not there: nothing is overwritten.',
  )
}

async function makeParent(path: string): Promise<void> {
  try {
    await readdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(error, 'read', path)
    await makePrivateDirectory(path)
  }
}

/** Files of mode 0600 in folders of 0700, each on the disk before the next. */
class FolderWriter implements ArchiveReader {
  readonly #root: string
  #path = ''
  #file: FileHandle | undefined

  constructor(root: string) {
    this.#root = root
  }

  async begin({ path }: { path: string }): Promise<void> {
    this.#path = join(this.#root, path)
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 })
    this.#file = await open(this.#path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  }

  async content(bytes: Uint8Array): Promise<void> {
    await this.#file?.writeFile(bytes)
  }

  async end(): Promise<void> {
    await this.#file?.sync()
    await this.#file?.close()
    await syncDirectory(dirname(this.#path))
  }
}
