import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AditError } from '#shared/errors.ts'

/** What a broken database error says of itself: `SQLITE_FULL: database or disk is full`. */
interface SqliteFailure extends Error {
  code?: string
}

/** Bytes below which a disk counts as full: a write-ahead log and its index could not grow by one step. */
const fullBelow = 256 * 1024

/** A sqlite3 error as a sentence with a mend; an AditError stays itself. */
export async function sqliteError(error: unknown, path: string): Promise<AditError> {
  if (error instanceof AditError) return error
  const code = (error as SqliteFailure).code ?? ''
  if (code === 'SQLITE_FULL') return full(path, error)
  // The index of the write-ahead log grows by mmap: a full disk shows there as an input/output error.
  if (code === 'SQLITE_IOERR' && (await isFull(path))) return full(path, error)
  const known = sentences[code]
  const reason = error instanceof Error ? error.message : String(error)
  if (!known)
    return new AditError('storage-failed', `${path}: ${reason}.`, 'Check the disk, and report this with the log.', {
      cause: error,
    })
  return new AditError('storage-failed', `${path} ${known.message} (${reason}).`, known.mend, { cause: error })
}

/** Whether an error of a database says that its file is damaged: nothing but another file will mend it. */
export function isDamage(error: unknown): boolean {
  const { code } = ((error as Error | undefined)?.cause ?? {}) as SqliteFailure
  return code === 'SQLITE_CORRUPT' || code === 'SQLITE_NOTADB'
}

const sentences: Record<string, { message: string; mend: string }> = {
  SQLITE_BUSY: { message: 'is held by another process', mend: 'End the other program that uses this folder.' },
  SQLITE_CORRUPT: { message: 'is damaged', mend: 'Move it away and restore the last backup.' },
  SQLITE_NOTADB: { message: 'is not a database', mend: 'Move it away and restore the last backup.' },
  SQLITE_IOERR: { message: 'could not be read or written', mend: 'Check the disk with its own tools, then start again.' },
  SQLITE_CANTOPEN: { message: 'cannot be opened', mend: 'Run as the owner of that folder, or choose another one.' },
  SQLITE_READONLY: { message: 'cannot be written', mend: 'Run as the owner of that folder, or choose another one.' },
  SQLITE_PERM: { message: 'cannot be opened', mend: 'Run as the owner of that folder, or choose another one.' },
}

const full = (path: string, cause: unknown): AditError =>
  new AditError(
    'disk-full',
    `No room is left to write ${path}.`,
    'Free some space on that disk; nothing that was acknowledged is lost.',
    {
      cause,
    },
  )

async function isFull(path: string): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(dirname(path))
    return bavail * bsize < fullBelow
  } catch {
    return false
  }
}
