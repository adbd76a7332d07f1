import { lstat, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { type FilePort, makePrivateDirectory, nodeFiles, storageError, writeDurably } from '#shared/platform/files.ts'

/**
 * A folder (0700) of files (0600) that is there whole or not at all: it is written under a name of its own beside its place, synced, and
 * renamed. What a crash leaves is a hidden `.NAME.part`, which nothing reads and the next attempt removes.
 */
export class NewFolder {
  readonly path: string
  readonly #draft: string
  readonly #port: FilePort

  private constructor(path: string, port: FilePort) {
    this.path = path
    this.#draft = join(dirname(path), `.${basename(path)}.part`)
    this.#port = port
  }

  /** Throws AditError `usage` where something is at `path` already, unless it is an empty folder. */
  static async begin(path: string, port: FilePort = nodeFiles): Promise<NewFolder> {
    const folder = new NewFolder(resolve(path), port)
    await assertFree(folder.path, path)
    try {
      await rm(folder.#draft, { recursive: true, force: true })
    } catch (error) {
      throw storageError(error, 'remove', folder.#draft)
    }
    await makePrivateDirectory(folder.#draft, port)
    return folder
  }

  /** `path` inside the folder; folders on the way to it are made. */
  async write(path: string, text: string): Promise<void> {
    await this.makeFolder(dirname(path))
    await writeDurably(join(this.#draft, path), text, {}, this.#port)
  }

  async makeFolder(path: string): Promise<void> {
    await makePrivateDirectory(join(this.#draft, path), this.#port)
  }

  /** Puts it into its place. */
  async finish(): Promise<void> {
    try {
      // Over an empty folder a rename is allowed; over anything that came meanwhile it is not.
      await this.#port.rename(this.#draft, this.path)
      await this.#port.syncDirectory(dirname(this.path))
    } catch (error) {
      throw storageError(error, 'write', this.path)
    }
  }

  async discard(): Promise<void> {
    await rm(this.#draft, { recursive: true, force: true }).catch(() => undefined)
  }
}

async function assertFree(path: string, asTyped: string): Promise<void> {
  try {
    // A folder cannot be renamed over a link, not even over one to an empty folder.
    if ((await lstat(path)).isDirectory() && (await readdir(path)).length === 0) return
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return
    throw storageError(error, 'look into', path)
  }
  throw new AditError(
    'usage',
    `${asTyped} is there already and not empty.`,
    'Name a folder that does not exist yet: --out FOLDER.',
  )
}
