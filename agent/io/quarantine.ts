import { readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { storageError, syncDirectory } from '#shared/platform/files.ts'

/** Damaged files kept of one name: evidence for a person, and no more than the disk bears. */
const KEPT = 3

/**
 * Puts a damaged file out of the way, as `NAME.corrupt-N`, with what belongs to it (`suffixes`: SQLite's log and its index). Returns the
 * new name. Only the last few are kept. Throws AditError where the folder refuses.
 */
export async function quarantine(path: string, suffixes: readonly string[] = []): Promise<string> {
  const folder = dirname(path)
  try {
    const numbers = await quarantined(path)
    const name = `${basename(path)}.corrupt-${(numbers.at(-1) ?? 0) + 1}`
    // The log first: a database without its log is merely old, a log beside another database would be applied to it.
    for (const suffix of suffixes) await rename(path + suffix, join(folder, name + suffix)).catch(ignoreAbsent)
    await rename(path, join(folder, name))
    for (const number of numbers.slice(0, Math.max(0, numbers.length + 1 - KEPT)))
      for (const suffix of ['', ...suffixes]) await unlink(`${path}.corrupt-${number}${suffix}`).catch(ignoreAbsent)
    await syncDirectory(folder)
    return name
  } catch (error) {
    throw storageError(error, 'put aside', path)
  }
}

/** The numbers in use, rising. */
async function quarantined(path: string): Promise<number[]> {
  const prefix = `${basename(path)}.corrupt-`
  const names = (await readdir(dirname(path))).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  return names
    .filter((rest) => /^\d{1,9}$/.test(rest))
    .map(Number)
    .sort((a, b) => a - b)
}

function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
