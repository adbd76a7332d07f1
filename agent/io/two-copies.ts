import { writeDurably } from '#shared/platform/files.ts'
import { quarantine } from './quarantine.ts'

/** Beside every file that an agent cannot do without. */
export const backupOf = (path: string): string => `${path}.bak`

/** The file, then its copy: at every moment one of them is whole. */
export async function writeBothCopies(path: string, data: string): Promise<void> {
  await writeDurably(path, data)
  await writeDurably(backupOf(path), data)
}

/**
 * What `parse` makes of the file, or of its copy where it throws; the damaged file is then put aside and made anew. A file that is not
 * there counts as not there, whatever its copy says: someone removed it. Throws what `parse` said of the file where the copy is no better.
 */
export async function readEitherCopy<T>(
  path: string,
  read: (path: string) => Promise<Uint8Array | undefined>,
  parse: (bytes: Uint8Array) => T,
): Promise<T | undefined> {
  const bytes = await read(path)
  if (bytes === undefined) return undefined
  try {
    return parse(bytes)
  } catch (error) {
    const copy = await read(backupOf(path))
    const value = copy === undefined ? undefined : attempt(() => parse(copy))
    if (copy === undefined || value === undefined) throw error
    await quarantine(path)
    await writeDurably(path, copy)
    return value
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
