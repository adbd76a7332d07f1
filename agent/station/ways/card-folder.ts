import { mkdir, readdir, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { equalPublic } from '#shared/bytes/equal.ts'
import { bundleFile } from '#shared/enrolment/unit-bundle.ts'
import { eraseDurably, isLeftOver } from '#shared/platform/erase-file.ts'
import { type FilePort, nodeFiles, readIfPresent, storageError, writeDurably } from '#shared/platform/files.ts'
import { cardFault } from './fat/card-fault.ts'

/** Where this machine's own firmware boots from: a bundle there would make the station another. */
const ownFolders = ['/', '/boot', '/boot/firmware', '/boot/efi']

/** A mounted card, or any folder that will become one. */
export class CardFolder {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /** Throws `card-refused` for a folder that this machine boots from. */
  static async open(path: string): Promise<CardFolder> {
    const real = await realpath(path)
    if (ownFolders.includes(real))
      throw cardFault(`is this machine's own: ${path}`, 'Name the folder where the card of the unit is mounted.')
    return new CardFolder(real)
  }

  read(): Promise<Uint8Array | undefined> {
    return readIfPresent(join(this.#path, bundleFile))
  }

  /** Whole or not at all. What an earlier try left goes first, keys and all: a file that is merely replaced stays in free clusters. */
  async write(bytes: Uint8Array): Promise<void> {
    const path = join(this.#path, bundleFile)
    for (const name of await readdir(this.#path)) if (isLeftOver(name, bundleFile)) await eraseDurably(join(this.#path, name))
    const there = await this.read()
    if (there !== undefined && equalPublic(there, bytes)) return
    if (there !== undefined) await eraseDurably(path)
    await writeDurably(path, bytes, {}, cardFiles)
  }
}

/**
 * Makes the folder of one unit, for itself alone (0700), where `{serial}` is the whole name of the last folder in `pattern` and what is
 * above it is there. A name of which it is a part, as in `{serial}.img`, is a file's, which nobody can make up.
 */
export async function makeOwnFolder(pattern: string, path: string): Promise<void> {
  if (basename(pattern) !== '{serial}') return
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    // What is there already is looked at by who opens it.
    if (error.code !== 'EEXIST') throw storageError(error, 'make the folder', path)
  })
}

export const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (facts) => facts.isDirectory(),
    () => false,
  )

/** FAT has no rights of its own, and refuses to change them: whoever mounted it has set them. */
const cardFiles: FilePort = {
  ...nodeFiles,
  async open(path, flags, mode) {
    const handle = await nodeFiles.open(path, flags, mode)
    const chmod = (bits: number): Promise<void> =>
      handle.chmod(bits).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPERM') throw error
      })
    return {
      chmod,
      write: (data) => handle.write(data),
      sync: () => handle.sync(),
      facts: () => handle.facts(),
      read: () => handle.read(),
      close: () => handle.close(),
    }
  },
}
