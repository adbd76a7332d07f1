import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readSecret, storageError } from '#shared/platform/files.ts'

/** The registry, of which a backup takes a snapshot of its own. */
export const registryName = 'adit.db'

/**
 * Not taken along: the registry as it lies there, with its log; locks and sockets; keys of session tickets, which a restored broker makes
 * anew; whatever begins with a dot (drafts, and what a power cut left).
 */
const isLeftOut = (path: string): boolean =>
  /^(?:adit\.db.*|lock\..*|.*\.sock|resumption\.key|restored\.json|tun-[^/]*\.json)$/.test(path) || /(?:^|\/)\./.test(path)

export interface DataFile {
  /** Below the data folder. */
  readonly path: string
  readonly bytes: Uint8Array
}

/** The small files of a data folder, in the order of their names. Throws `permission-unsafe` for one that others can read. */
export async function readDataFiles(dataDir: string): Promise<DataFile[]> {
  const files: DataFile[] = []
  for (const path of (await walk(dataDir, '')).sort()) {
    const bytes = await readSecret(join(dataDir, path))
    if (bytes !== undefined) files.push({ path, bytes })
  }
  return files
}

export const sameFiles = (a: readonly DataFile[], b: readonly DataFile[]): boolean =>
  a.length === b.length && a.every(({ path, bytes }, at) => path === b[at]?.path && Buffer.compare(bytes, b[at].bytes) === 0)

async function walk(root: string, below: string): Promise<string[]> {
  const found: string[] = []
  try {
    for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`
      if (isLeftOut(path)) continue
      if (entry.isDirectory()) found.push(...(await walk(root, path)))
      else if (entry.isFile()) found.push(path)
    }
  } catch (error) {
    throw storageError(error, 'read', join(root, below))
  }
  return found
}
