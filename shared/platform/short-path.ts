import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'

/** Bytes that a Unix socket's path may have on every system: macOS has 104 with the closing NUL. */
const longestPath = 100

/**
 * Calls `use` with a path of the same socket that is short enough for bind(2) and connect(2): the path itself, or one that leads
 * through a symbolic link in a private temporary folder. The link is gone afterwards; the socket stays where it belongs.
 */
export async function withShortPath<Result>(path: string, use: (path: string) => Promise<Result>): Promise<Result> {
  if (Buffer.byteLength(path) <= longestPath) return use(path)
  const folder = await mkdtemp(join(tmpdir(), 'adit-'))
  try {
    await symlink(resolve(dirname(path)), join(folder, 'd'))
    return await use(join(folder, 'd', basename(path)))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
