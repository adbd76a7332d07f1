import { constants } from 'node:fs'
import { type FilePort, nodeFiles, removeDurably, storageError } from '#shared/platform/files.ts'

/** Written at once, in bytes. */
const pieceLength = 65_536

/**
 * Overwrites a file with zeros where it lies, makes that durable, then removes it; one that is not there is fine. Flash, copy-on-write and
 * journals may keep older blocks out of reach: whoever must be sure has to end the life of the disk.
 */
export async function eraseDurably(path: string, port: FilePort = nodeFiles): Promise<void> {
  try {
    const { size } = await port.lstat(path)
    const handle = await port.open(path, constants.O_WRONLY | constants.O_NOFOLLOW, 0)
    try {
      for (let left = size; left > 0; left -= pieceLength) await handle.write(new Uint8Array(Math.min(pieceLength, left)))
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw storageError(error, 'overwrite', path)
  }
  await removeDurably(path, port)
}

/** Whether `name` is what a power cut left of writing the file `of` durably. */
export const isLeftOver = (name: string, of: string): boolean => name.startsWith(`.${of}.`) && name.endsWith('.tmp')
