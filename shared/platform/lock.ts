import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { makePrivateFile } from './sqlite.ts'
import { sqliteError } from './sqlite-error.ts'
import { SqliteHandle } from './sqlite-handle.ts'

/** The exclusive right to a data or state folder, held by DIR/lock.db and given back by the kernel however the process ends. */
export interface FolderLock {
  release(): Promise<void>
}

/**
 * Takes FOLDER/lock.db with BEGIN EXCLUSIVE: SQLite's file lock, which dies with the process (kill -9 included) and which SQLite keeps
 * apart also within one process. FOLDER/lock.owner says who holds it, for people only. Throws AditError `state-locked` where another
 * holds it. `purpose` is shown to the one that is refused.
 */
export async function lockFolder(folder: string, purpose: string): Promise<FolderLock> {
  const path = join(folder, 'lock.db')
  const ownerPath = join(folder, 'lock.owner')
  let handle: SqliteHandle | undefined
  try {
    await makePrivateFile(path)
    handle = await SqliteHandle.open(path, 'write')
    await handle.run('BEGIN EXCLUSIVE')
  } catch (error) {
    await handle?.close().catch(() => undefined)
    if ((error as { code?: string }).code === 'SQLITE_BUSY') throw await locked(folder, ownerPath)
    throw await sqliteError(error, path)
  }
  // A note for people: a full disk must not stop what already holds the lock.
  await writeFile(ownerPath, JSON.stringify({ pid: process.pid, purpose }), { mode: 0o600 }).catch(() => undefined)
  return new HeldLock(handle, ownerPath)
}

class HeldLock implements FolderLock {
  #handle: SqliteHandle | undefined
  readonly #ownerPath: string

  constructor(handle: SqliteHandle, ownerPath: string) {
    this.#handle = handle
    this.#ownerPath = ownerPath
  }

  async release(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    if (!handle) return
    await rm(this.#ownerPath, { force: true }).catch(() => undefined)
    await handle.run('ROLLBACK')
    await handle.close()
  }
}

async function locked(folder: string, ownerPath: string): Promise<AditError> {
  const owner = await readFile(ownerPath, 'utf8')
    .then((text) => JSON.parse(text) as { pid?: unknown; purpose?: unknown })
    .catch(() => undefined)
  const who = Number.isInteger(owner?.pid)
    ? `process ${owner?.pid}${typeof owner?.purpose === 'string' ? ` (${owner.purpose})` : ''}`
    : 'another process'
  return new AditError('state-locked', `The folder ${folder} is in use by ${who}.`, 'End that process, or choose another folder.')
}
