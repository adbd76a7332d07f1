import { constants, type Stats } from 'node:fs'
import { type FileHandle, open, readdir, readFile, realpath, stat } from 'node:fs/promises'
import { AditError } from '#shared/errors.ts'
import { storageError } from '#shared/platform/files.ts'
import { cardFault } from './fat/card-fault.ts'
import type { Disk } from './fat/disk.ts'

/** A block device or an image file, opened for one unit. Once it is closed, a device's next reader reads the card and not our cache. */
export class DiskFile implements Disk {
  readonly size: number
  readonly #handle: FileHandle
  readonly #path: string

  private constructor(handle: FileHandle, path: string, size: number) {
    this.#handle = handle
    this.#path = path
    this.size = size
  }

  /** Throws AditError `device-busy` where it is mounted or is a disk that this machine runs from, and `card-refused` or `storage-failed`. */
  static async open(path: string, mode: 'read' | 'write'): Promise<DiskFile> {
    const facts = await factsOf(path)
    if (!facts.isBlockDevice() && !facts.isFile())
      throw cardFault(`is no disk: ${path} is neither a device nor a file`, 'Name a folder, an image file or a device.')
    if (facts.isFile() && (await isLooped(path))) throw busy(path)
    // The kernel refuses O_EXCL on a device that is mounted, swapped to, or part of another, and on the disk around such a partition.
    const exclusive = facts.isBlockDevice() ? constants.O_EXCL : 0
    const flags = (mode === 'read' ? constants.O_RDONLY : constants.O_RDWR) | exclusive
    const handle = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EBUSY' ? busy(path) : accessError(error, path)
    })
    try {
      const size = facts.isFile() ? facts.size : await deviceSize(facts.rdev)
      return new DiskFile(handle, path, size)
    } catch (error) {
      await handle.close()
      throw storageError(error, 'read', path)
    }
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length; ) {
      const { bytesRead } = await this.#do('read', this.#handle.read(bytes, done, length - done, at + done))
      if (bytesRead === 0) throw cardFault('ends too early', 'Write the image to it anew.')
      done += bytesRead
    }
    return bytes
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#do('write', this.#handle.write(bytes, done, bytes.length - done, at + done))
      done += bytesWritten
    }
  }

  sync(): Promise<void> {
    return this.#do('write', this.#handle.sync())
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  async #do<T>(verb: string, work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw accessError(error, this.#path, verb)
    }
  }
}

async function factsOf(path: string): Promise<Stats> {
  try {
    return await stat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(error, 'look at', path)
    throw cardFault(`is not there: ${path} does not exist`, 'Insert the card, and look for its name with lsblk.', error)
  }
}

/** Bytes, as the kernel counts them in sectors of 512 (a device's own size in a stat is 0). */
async function deviceSize(rdev: number): Promise<number> {
  const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)]
  return Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512
}

/** Whether an image file is behind a loop device at this moment: the kernel would not see our writes. */
async function isLooped(path: string): Promise<boolean> {
  const real = await realpath(path)
  const loops = (await readdir('/sys/block').catch(() => [])).filter((name) => name.startsWith('loop'))
  const files = await Promise.all(loops.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '')))
  return files.some((file) => file.trim() === real)
}

function accessError(error: unknown, path: string, verb = 'open'): AditError {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EROFS' || code === 'EPERM')
    return cardFault(`is write-protected (${code})`, 'Move the lock on its side, or take another card.', error)
  if (code === 'EIO' || code === 'ENXIO' || code === 'ENOMEDIUM' || code === 'ENODEV')
    return cardFault(`does not answer (${code})`, 'Take another card, or look at the reader and its cable.', error)
  return storageError(error, verb, path)
}

const busy = (path: string): AditError =>
  new AditError(
    'device-busy',
    `${path} is in use: it is mounted, or this machine runs from it.`,
    'Make sure that it is the card; then unmount it, or give the folder where it is mounted.',
  )
